import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ConfigError, TransportError } from '../../src/errors.ts'
import type { Origin } from '../../src/events.ts'
import { InFlight } from '../../src/transport/in-flight.ts'

function origin(offset: number, partition = 0): Origin {
  return { topic: 'prompts', partition, offset: BigInt(offset), timestamp: 0 }
}

function next(settlement: { positions: readonly { next: bigint }[] }): readonly number[] {
  return settlement.positions.map(position => Number(position.next))
}

test('in flight: settling 10 and 12 of 10, 11, 12 may commit 11, then 13', async () => {
  const open = new InFlight<null>({ maxInFlight: 10, maxInFlightBytes: 100 })
  const [ten, eleven, twelve] = [origin(10), origin(11), origin(12)]
  for (const one of [ten, eleven, twelve]) await open.enter(one, 1, null)
  assert.deepEqual(next(open.settle([ten, twelve])), [11])
  assert.deepEqual(next(open.settle([eleven])), [13])
})

test('in flight: a parked event ends when all before it have', async () => {
  const open = new InFlight<string>({ maxInFlight: 10, maxInFlightBytes: 100 })
  const [one, two, three] = [origin(1), origin(2), origin(3)]
  for (const event of [one, two, three]) await open.enter(event, 1, 'kept')
  assert.deepEqual(open.park(two, 'letter'), { positions: [{ topic: 'prompts', partition: 0, next: 1n }], parked: [] })
  const settled = open.settle([one])
  assert.deepEqual(settled.parked, ['letter'])
  assert.deepEqual(next(settled), [3])
})

test('in flight: what has to wait enters when half is free, and not before', async () => {
  const open = new InFlight<null>({ maxInFlight: 4, maxInFlightBytes: 100 })
  const events = [0, 1, 2, 3, 4].map(offset => origin(offset))
  for (const event of events.slice(0, 4)) await open.enter(event, 1, null)
  let entered = false
  const waiting = open.enter(events[4] ?? origin(4), 1, null).then(() => (entered = true))
  open.settle(events.slice(0, 1))
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(entered, false)
  open.settle(events.slice(1, 2))
  await waiting
  assert.equal(open.events, 3)
})

test('in flight: an event of more than all bytes enters alone', async () => {
  const open = new InFlight<null>({ maxInFlight: 4, maxInFlightBytes: 10 })
  const [small, big, after] = [origin(0), origin(1), origin(2)]
  await open.enter(small, 1, null)
  const bigEntered = open.enter(big, 50, null)
  const afterEntered = open.enter(after, 1, null)
  open.settle([small])
  assert.equal(await bigEntered, true)
  assert.deepEqual([open.events, open.bytes], [1, 50])
  open.settle([big])
  assert.equal(await afterEntered, true)
})

test('in flight: a forgotten partition is let go, and what came from it cannot be settled any more', async () => {
  const open = new InFlight<null>({ maxInFlight: 2, maxInFlightBytes: 100 })
  const stale = origin(5)
  const other = origin(5, 1)
  await open.enter(stale, 1, null)
  await open.enter(other, 1, null)
  const waiting = open.enter(origin(6), 1, null)
  open.forget('prompts', 0)
  assert.equal(await waiting, false)
  assert.equal(open.events, 1)
  await open.enter(origin(5), 1, null)
  assert.throws(() => open.settle([stale]), TransportError)
  assert.deepEqual(next(open.settle([other])), [6])
})

test('in flight: after close nothing enters, and what is open can be settled', async () => {
  const open = new InFlight<null>({ maxInFlight: 1, maxInFlightBytes: 1 })
  const first = origin(0)
  await open.enter(first, 1, null)
  const waiting = open.enter(origin(1), 1, null)
  open.close()
  assert.equal(await waiting, false)
  assert.equal(await open.enter(origin(1), 1, null), false)
  assert.deepEqual(next(open.settle([first])), [1])
})

test('in flight: a call with an event that is not open ends none', async () => {
  const open = new InFlight<null>({ maxInFlight: 4, maxInFlightBytes: 100 })
  const first = origin(0)
  await open.enter(first, 1, null)
  assert.throws(() => open.settle([first, origin(7)]), /offset 7 is not open/)
  assert.equal(open.events, 1)
})

test('in flight: limits below 1 are refused', () => {
  assert.throws(() => new InFlight({ maxInFlight: 0, maxInFlightBytes: 1 }), ConfigError)
  assert.throws(() => new InFlight({ maxInFlight: 1, maxInFlightBytes: Number.NaN }), ConfigError)
})

test('in flight: whatever the order of settling, no position passes an open event, bounds hold, and all end', async () => {
  const step = fc.record({
    partition: fc.nat(2),
    bytes: fc.integer({ min: 0, max: 30 }),
    gap: fc.integer({ min: 1, max: 3 }),
  })
  const limits = fc.record({
    maxInFlight: fc.integer({ min: 1, max: 6 }),
    maxInFlightBytes: fc.integer({ min: 1, max: 60 }),
  })
  await fc.assert(
    fc.asyncProperty(
      limits,
      fc.array(step, { maxLength: 40 }),
      fc.infiniteStream(fc.nat()),
      async (bounds, steps, picks) => {
        const inFlight = new InFlight<Origin>(bounds)
        const open = new Map<Origin, 'open' | 'parked'>()
        const committed = new Map<number, bigint>()
        const last = new Map<number, number>()
        const entering = steps.map(async ({ partition, bytes, gap }) => {
          const offset = (last.get(partition) ?? -1) + gap
          last.set(partition, offset)
          const event = origin(offset, partition)
          assert.equal(await inFlight.enter(event, bytes, event), true)
          open.set(event, 'open')
        })
        const pick = (): number => Number(picks.next().value)
        let ended = 0
        for (let turn = 0; ended < steps.length; turn++) {
          assert.ok(turn < 1000, 'some event never entered')
          await new Promise(resolve => setImmediate(resolve))
          assert.ok(inFlight.events <= bounds.maxInFlight)
          assert.ok(inFlight.bytes <= bounds.maxInFlightBytes || inFlight.events === 1)
          const choices = [...open].filter(([, state]) => state === 'open').map(([event]) => event)
          const event = choices[pick() % choices.length]
          if (event === undefined) continue
          const parks = pick() % 3 === 0
          const { positions, parked } = parks ? inFlight.park(event, event) : inFlight.settle([event])
          if (parks) open.set(event, 'parked')
          else open.delete(event)
          ended += parks ? 0 : 1
          for (const one of parked) ended += open.delete(one) ? 1 : 0
          for (const { partition, next: position } of positions) {
            assert.ok(position >= (committed.get(partition) ?? 0n))
            committed.set(partition, position)
            for (const one of open.keys()) if (one.partition === partition) assert.ok(one.offset >= position)
          }
        }
        await Promise.all(entering)
        assert.deepEqual([inFlight.events, inFlight.bytes], [0, 0])
        for (const [partition, offset] of last) assert.equal(committed.get(partition), BigInt(offset + 1))
      },
    ),
    { numRuns: 60 },
  )
})
