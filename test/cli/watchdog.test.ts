import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Watchdog } from '../../src/cli/watchdog.ts'
import type { PartitionStatus, TransportStatus } from '../../src/ports.ts'

function partition(facts: Partial<PartitionStatus> = {}): PartitionStatus {
  return { topic: 'prompts', partition: 3, position: 10, read: 10, end: 10, lag: 0, open: 0, ...facts }
}

function status(partitions: readonly PartitionStatus[], facts: Partial<TransportStatus> = {}): TransportStatus {
  const events = partitions.reduce((sum, { open }) => sum + open, 0)
  return { joined: true, partitions, inFlight: { events, bytes: events }, retrying: [], ...facts }
}

/** Looks once a second with the same status; the second in which something stands still. */
function standsAfter(dog: Watchdog, same: TransportStatus, from = 0, seconds = 60): number | undefined {
  for (let second = 0; second <= seconds; second++)
    if (dog.look(same, (from + second) * 1000) !== undefined) return second
  return undefined
}

const behind = partition({ partition: 4, end: 15, lag: 5 })
const working = partition({ end: 15, lag: 5, read: 14, open: 4 })

test('watchdog: nothing to do is no reason to bark', () => {
  assert.equal(standsAfter(new Watchdog(10_000), status([partition()])), undefined)
  assert.equal(standsAfter(new Watchdog(10_000), status([])), undefined)
})

test('watchdog: open events of which none is committed stand still, and it says where', () => {
  const dog = new Watchdog(10_000)
  assert.equal(standsAfter(dog, status([partition({ partition: 1 }), working], { lastCommit: 1, lastDelivery: 2 })), 10)
  assert.deepEqual(dog.look(status([working], { lastCommit: 1, lastDelivery: 2 }), 11_000), {
    code: 'STAGE_FAILED',
    message:
      'topic "prompts" partition 3 offset 10: 5 behind, 4 events are open, and nothing was delivered or committed for 10 s',
  })
})

test('watchdog: a commit or a delivery anywhere is progress, and ends what it noticed', () => {
  const dog = new Watchdog(10_000)
  assert.equal(standsAfter(dog, status([working], { lastCommit: 1 }), 0, 9), undefined)
  assert.equal(standsAfter(dog, status([working], { lastCommit: 2 }), 10, 9), undefined)
  assert.equal(standsAfter(dog, status([working], { lastCommit: 2, lastDelivery: 7 }), 20), 10)
  assert.equal(dog.look(status([working], { lastCommit: 3 }), 31_000), undefined)
})

test('watchdog: a partition that is behind and not read stands still, though others move', () => {
  const dog = new Watchdog(10_000)
  for (let second = 0; second < 10; second++)
    assert.equal(dog.look(status([working, behind], { lastCommit: second }), second * 1000), undefined)
  const found = dog.look(status([working, behind], { lastCommit: 99 }), 10_000)
  assert.equal(found?.code, 'TRANSPORT_FAILED')
  assert.match(found.message, /offset 10: 5 behind, none of it is read, .* for 10 s$/)
})

test('watchdog: what is read since, skipped marks of transactions too, is progress of a partition', () => {
  const dog = new Watchdog(10_000)
  for (let second = 0; second < 40; second++)
    assert.equal(dog.look(status([{ ...behind, read: 10 + Math.floor(second / 9) }]), second * 1000), undefined)
})

test('watchdog: a partition that is never taken over stands still', () => {
  const dog = new Watchdog(10_000)
  assert.equal(standsAfter(dog, status([{ topic: 'prompts', partition: 3, open: 0 }])), 10)
})

test('watchdog: while something is tried again, nobody answers or the group is not joined, the time does not run', () => {
  const retrying = [{ what: 'a', reason: 'b', since: 0, attempts: 1 }]
  for (const facts of [{ retrying }, { unreachable: 'no' }, { joined: false }]) {
    const dog = new Watchdog(10_000)
    assert.equal(standsAfter(dog, status([working, behind], facts)), undefined)
    assert.equal(standsAfter(dog, status([working, behind]), 61), 10)
  }
})

test('watchdog: a process that was asleep did not stand still for so long', () => {
  const dog = new Watchdog(300_000)
  dog.look(status([working]), 0)
  assert.equal(dog.look(status([working]), 3_600_000), undefined)
  assert.equal(standsAfter(dog, status([working]), 3600, 400), 290)
})
