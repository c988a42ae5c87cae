import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { TransportError } from '../../src/errors.ts'
import { Commits } from '../../src/transport/kafka-commits.ts'
import { Persistence } from '../../src/transport/kafka-errors.ts'
import { Partition, type Share } from '../../src/transport/kafka-partition.ts'

/** What outlives an instance: what was written, in order, and how far each partition is committed. */
type Cluster = {
  readonly written: string[]
  readonly positions: Map<number, bigint>
  /** A text that the broker takes in no record. */
  readonly refused?: string
}

const share = (text: string, next: number): Share => ({
  records: [{ topic: 'out', key: null, value: Buffer.from(text), headers: [] }],
  next: BigInt(next),
})

/** An instance that commits behind what it writes; a request for it goes on when `answer` is called, and fails with what it is given. */
async function instance(cluster: Cluster, partitions: readonly number[]) {
  const requests: { readonly positions: ReadonlyMap<number, bigint>; answer(error?: Error): void }[] = []
  const failures: unknown[] = []
  const lost: Partition[] = []
  const end = new AbortController()
  let draining = false
  const persistence = new Persistence(() => {}, end.signal, new Map())
  const io = {
    commit: (positions: ReadonlyMap<number, bigint>) =>
      new Promise<void>((resolve, reject) =>
        requests.push({
          positions,
          answer(error) {
            if (error !== undefined) return reject(error)
            for (const [partition, next] of positions) cluster.positions.set(partition, next)
            resolve()
          },
        }),
      ),
    wholly: () => draining,
    committed: () => {},
    lose: (partition: Partition) => void lost.push(partition),
    fail: (error: unknown) => void failures.push(error),
  }
  const claimed = partitions.map(partition => {
    const write = async (records: Share['records']): Promise<void> => {
      const texts = records.map(({ value }) => String(value))
      if (texts.some(text => text === cluster.refused))
        throw Object.assign(new Error('too large'), { type: 'MESSAGE_TOO_LARGE' })
      cluster.written.push(...texts)
    }
    const position = { committed: cluster.positions.get(partition), low: 0n, high: 100n, coordinator: undefined }
    return new Partition(
      { topic: 'in', partition },
      {
        writer: async () => ({ coordinator: undefined, write, close: async () => {} }),
        position: async () => position,
        commits: false,
      },
      persistence,
    )
  })
  for (const partition of claimed) await partition.claim({ from: 'earliest', onOutOfRange: 'fail' })
  const [first, second = first] = claimed
  assert.ok(first !== undefined && second !== undefined)
  return {
    first,
    second,
    commits: new Commits('in', io, persistence),
    requests,
    failures,
    lost,
    drain: () => (draining = true),
  }
}

const empty = (): Cluster => ({ written: [], positions: new Map() })

/** Long enough for all that waits for nothing from outside. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await setImmediate()
}

async function requested<T>(requests: readonly T[], count: number): Promise<T> {
  for (;;) {
    const request = requests[count - 1]
    if (request !== undefined) return request
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

test('kafka commits: a share is done when it is written; its position follows, and the next share waits for it', async () => {
  const cluster = empty()
  const { first, commits, requests } = await instance(cluster, [0])
  await commits.commit(new Map([[first, share('a', 1)]]))
  assert.deepEqual([cluster.written, cluster.positions.size, first.behind], [['a'], 0, 1n])
  let done = false
  const next = commits.commit(new Map([[first, share('b', 2)]])).then(() => (done = true))
  await settled()
  // Written meanwhile, but no more than that can be read again.
  assert.deepEqual([cluster.written, requests.length, done], [['a', 'b'], 1, false])
  requests[0]?.answer()
  await next
  assert.deepEqual([cluster.positions.get(0), first.committed], [1n, 1n])
  ;(await requested(requests, 2)).answer()
  await commits.followed()
  assert.deepEqual([cluster.positions.get(0), first.behind], [2n, undefined])
})

test('kafka commits: a window of several partitions is one request, and one that fails is made again with what is newest', async () => {
  const cluster = empty()
  const { first, second, commits, requests } = await instance(cluster, [0, 1])
  await commits.commit(
    new Map([
      [first, share('a', 1)],
      [second, share('b', 5)],
    ]),
  )
  assert.deepEqual(
    requests.map(({ positions }) => [...positions]),
    [
      [
        [0, 1n],
        [1, 5n],
      ],
    ],
  )
  const next = commits.commit(new Map([[first, share('c', 2)]]))
  await settled()
  requests[0]?.answer(new Error('the coordinator is loading'))
  const again = await requested(requests, 2)
  assert.deepEqual(
    [...again.positions],
    [
      [0, 2n],
      [1, 5n],
    ],
  )
  again.answer()
  await next
  await commits.idle()
  assert.deepEqual(
    [...cluster.positions],
    [
      [0, 2n],
      [1, 5n],
    ],
  )
  assert.deepEqual(cluster.written, ['a', 'b', 'c'])
})

test('kafka commits: those that wait behind a request go on together, in the next one, and idle is after it', async () => {
  const cluster = empty()
  const { first, second, commits, requests } = await instance(cluster, [0, 1])
  await commits.commit(new Map([[first, share('a', 1)]]))
  let done = 0
  const waiting = [
    commits.commit(new Map([[first, share('b', 2)]])),
    commits.commit(new Map([[second, share('c', 6)]])),
    commits.commit(new Map([[first, share('d', 3)]])),
  ].map(commit => commit.then(() => done++))
  await settled()
  let idle = false
  const over = commits.idle().then(() => (idle = true))
  await settled()
  assert.deepEqual([cluster.written, requests.length, done, idle], [['a', 'b', 'c', 'd'], 1, 0, false])
  requests[0]?.answer()
  await Promise.all(waiting)
  await settled()
  assert.deepEqual([requests.length, idle], [2, false])
  assert.deepEqual(
    [...(requests[1]?.positions ?? [])],
    [
      [0, 3n],
      [1, 6n],
    ],
  )
  requests[1]?.answer()
  await over
  assert.deepEqual([requests.length, first.behind, second.behind], [2, undefined, undefined])
})

test('kafka commits: a drained source is done when its positions are committed', async () => {
  const cluster = empty()
  const { first, commits, requests, drain } = await instance(cluster, [0])
  drain()
  let done = false
  const last = commits.commit(new Map([[first, share('a', 1)]])).then(() => (done = true))
  await settled()
  assert.deepEqual([cluster.written, requests.length, done], [['a'], 1, false])
  requests[0]?.answer()
  await last
  assert.equal(cluster.positions.get(0), 1n)
})

test('kafka commits: the position of a partition that was lost is given up', async () => {
  const cluster = empty()
  const { first, commits, requests } = await instance(cluster, [0])
  await commits.commit(new Map([[first, share('a', 1)]]))
  await first.release()
  requests[0]?.answer(new Error('the member is unknown'))
  await commits.idle()
  assert.deepEqual([requests.length, cluster.positions.size], [1, 0])
})

test('kafka commits: what no retry mends is told at once, and ends the next commit', async () => {
  const { first, commits, requests, failures } = await instance(empty(), [0])
  await commits.commit(new Map([[first, share('a', 1)]]))
  requests[0]?.answer(Object.assign(new Error('refused'), { type: 'INVALID_GROUP_ID' }))
  await commits.followed()
  assert.equal(failures.length, 1)
  await assert.rejects(commits.commit(new Map([[first, share('b', 2)]])), (error: unknown) => {
    assert.ok(error instanceof TransportError)
    assert.match(error.message, /topic "in": positions cannot be committed: refused/)
    return true
  })
})

test('kafka commits: what waits behind a share that no retry mends fails with it, and is not taken for lost', async () => {
  const cluster = { ...empty(), refused: 'b' }
  const { first, commits, requests, lost } = await instance(cluster, [0])
  const ends = Promise.allSettled(
    ['a', 'b', 'c'].map((text, at) => commits.commit(new Map([[first, share(text, at + 1)]]))),
  )
  ;(await requested(requests, 1)).answer()
  assert.deepEqual(
    (await ends).map(end => (end.status === 'rejected' ? String(end.reason) : end.status)),
    [
      'fulfilled',
      ...['b', 'c'].map(() => 'TransportError: topic "in" partition 0: a window cannot be committed: too large'),
    ],
  )
  assert.deepEqual([cluster.written, lost], [['a'], []])
})

test('kafka commits: a crash behind answers repeats what its last request was for and what was at work, and loses nothing', async () => {
  const cluster = empty()
  const crashed = await instance(cluster, [0])
  await crashed.commits.commit(new Map([[crashed.first, share('a', 1)]]))
  crashed.requests[0]?.answer()
  await crashed.commits.commit(new Map([[crashed.first, share('b', 2)]]))
  void crashed.commits.commit(new Map([[crashed.first, share('c', 3)]]))
  await settled()
  // Whatever it would do next, it does not any more.
  const { first, commits, requests } = await instance(cluster, [0])
  assert.equal(first.next, 1n)
  const left = ['b', 'c', 'd']
  for (const [index, text] of left.entries()) {
    await commits.commit(new Map([[first, share(text, index + 2)]]))
    ;(await requested(requests, index + 1)).answer()
  }
  await commits.idle()
  assert.deepEqual(cluster.written, ['a', 'b', 'c', 'b', 'c', 'd'])
  assert.equal(cluster.positions.get(0), 4n)
})
