import { setTimeout } from 'node:timers/promises'
import { TransportError } from '../errors.ts'
import type { Batch, KafkaClient, Member, MemberHandlers } from './kafka-client.ts'
import { Commits } from './kafka-commits.ts'
import { isOutOfRange, Persistence, reasonOf, type Troubles } from './kafka-errors.ts'
import { Partition, type Begin } from './kafka-partition.ts'
import type { InRecord } from './kafka-records.ts'

/** Records that wait longer for room make their partition pause, so that the others and the heartbeats go on. */
const PATIENCE_MS = 50

export type GroupOptions = Begin & {
  readonly group: string
  readonly delivery: 'exactly-once' | 'at-least-once'
  readonly sessionTimeoutMs: number
}

export type Hooks = {
  /** Delivers a batch's records in order, waiting for room; ends early when the partition is not live any more. */
  deliver(partition: Partition, records: Iterable<InRecord>): Promise<void>
  /** What is in flight of the partition is somebody else's, or will be read again. */
  forget(partition: Partition): void
  /** Positions were committed. */
  committed(): void
  fail(error: unknown): void
}

/** A partition of ours; without the offsets it is being taken over. */
export type Reading = {
  readonly partition: number
  /** Records wait for room, or a position to be committed behind what is written. */
  readonly waiting: boolean
  readonly read?: bigint
  readonly committed?: bigint
}

/**
 * A topic's consumer in its group: which partitions are ours, claimed how far, and their batches, each checked to begin where
 * the one before it ended. A partition that stays ours through a rebalance goes on where it was, what is in flight included.
 */
export class KafkaSource {
  readonly topic: string
  readonly commits: Commits
  readonly #client: KafkaClient
  readonly #options: GroupOptions
  readonly #hooks: Hooks
  readonly #persistence: Persistence
  readonly #log: (line: string) => void
  readonly #partitions = new Map<number, Partition>()
  readonly #busy = new Set<Partition>()
  /** Busy ones that are paused until they are done. */
  readonly #held = new Set<Partition>()
  /** Where a batch began behind the expected position: told twice, there is nothing to be read in between. */
  readonly #gaps = new Map<Partition, bigint>()
  /** Where the fetches stand that found nothing for us. */
  readonly #skipped = new Map<number, bigint>()
  #assigned: readonly number[] = []
  #told = false
  #member: Member | undefined
  #draining = false
  /** Nothing is tried again. */
  readonly #end = new AbortController()
  readonly #leave = new AbortController()
  readonly #releases = new Set<Promise<void>>()
  #running: Promise<void> = Promise.resolve()

  constructor(
    client: KafkaClient,
    topic: string,
    options: GroupOptions,
    hooks: Hooks,
    log: (line: string) => void,
    troubles: Troubles,
  ) {
    this.topic = topic
    this.#client = client
    this.#options = options
    this.#hooks = hooks
    this.#log = log
    this.#persistence = new Persistence(log, this.#end.signal, troubles)
    const io = {
      commit: async (positions: ReadonlyMap<number, bigint>) => {
        if (this.#member === undefined) throw new TransportError(`group "${options.group}" is not joined`)
        await this.#member.commit(positions)
      },
      // What is committed at the end is known to be.
      wholly: () => this.#draining,
      committed: () => hooks.committed(),
      lose: (partition: Partition) => this.#lose(partition),
      fail: (error: unknown) =>
        this.#end.signal.aborted
          ? log(`${reasonOf(error)}; what was answered last is answered again`)
          : hooks.fail(error),
    }
    this.commits = new Commits(topic, io, this.#persistence)
  }

  start(): void {
    this.#running = this.#run().catch((error: unknown) => {
      if (!this.#leave.signal.aborted) this.#hooks.fail(error)
    })
  }

  /** Takes nothing more from the consumer, which stays in its group: what is in flight can still be committed. */
  drain(): void {
    this.#draining = true
    for (const number of this.#assigned) this.#member?.pause(number)
  }

  /** Whether the group has said which partitions are ours. */
  get joined(): boolean {
    return this.#member !== undefined && this.#told
  }

  /** Our partitions, how far each is read, and whether records of it wait for room. */
  get reading(): readonly Reading[] {
    return this.#assigned.map(number => {
      const partition = this.#partitions.get(number)
      const { next, committed } = partition ?? {}
      const skipped = this.#skipped.get(number) ?? 0n
      const known = next === undefined || committed === undefined ? {} : { read: max(next, skipped), committed }
      const waiting = partition !== undefined && (this.#busy.has(partition) || partition.behind !== undefined)
      return { partition: number, waiting, ...known }
    })
  }

  get drained(): boolean {
    return this.#draining
  }

  /** Leaves the group, after the commits that have begun; what would have to be tried again is given up. */
  async close(): Promise<void> {
    this.drain()
    this.#end.abort()
    await Promise.all([...this.#partitions.values()].map(partition => partition.idle()))
    await this.commits.idle()
    this.#leave.abort()
    await this.#running
    for (const partition of this.#partitions.values()) this.#drop(partition)
    await Promise.all(this.#releases)
  }

  /** Joins, and joins again after every crash. */
  async #run(): Promise<void> {
    const { group, sessionTimeoutMs } = this.#options
    const what = `topic "${this.topic}" cannot be read by group "${group}"`
    for (let count = 0; !this.#leave.signal.aborted; count++) {
      const over = new AbortController()
      const error = await new Promise<unknown>(resolve => {
        const handlers: MemberHandlers = {
          joined: partitions => {
            count = 0
            this.#persistence.over(what)
            this.#joined(partitions)
          },
          batch: batch => this.#batch(batch),
          skipped: (partition, next) => void this.#skipped.set(partition, next),
          crashed: resolve,
        }
        this.#leave.signal.addEventListener('abort', resolve, { once: true, signal: over.signal })
        this.#client
          .member(group, this.topic, sessionTimeoutMs, handlers)
          .then(async member => {
            // Left before it was there: nobody else would ever close it.
            if (over.signal.aborted) return await member.close()
            this.#member = member
            await member.start()
          })
          .catch(resolve)
      })
      over.abort()
      const member = this.#member
      this.#member = undefined
      this.#told = false
      await member?.close()
      if (this.#leave.signal.aborted) return
      if (isOutOfRange(error)) for (const partition of this.#partitions.values()) this.#drop(partition)
      await this.#persistence.wait(what, error, count)
    }
  }

  #joined(numbers: readonly number[]): void {
    this.#assigned = numbers
    this.#told = true
    this.#skipped.clear()
    for (const partition of this.#partitions.values())
      if (!numbers.includes(partition.place.partition)) this.#drop(partition)
    for (const number of numbers) {
      const partition = this.#partitions.get(number)
      if (partition === undefined) this.#take(number)
      else this.#proceed(partition)
    }
  }

  /** Claims a partition that is ours since the last join. */
  #take(number: number): void {
    if (this.#partitions.has(number)) return
    this.#member?.pause(number)
    if (this.#draining || !this.#assigned.includes(number)) return
    const { group, delivery } = this.#options
    const commits = delivery === 'exactly-once'
    const io = {
      position: (place: Partition['place']) => this.#client.position(group, place),
      writer: (place: Partition['place']) => this.#client.writer(place, commits ? group : undefined),
      commits,
    }
    const partition = new Partition({ topic: this.topic, partition: number }, io, this.#persistence)
    this.#partitions.set(number, partition)
    partition.claim(this.#options).then(
      () => this.#proceed(partition),
      (error: unknown) => {
        if (partition.live && !this.#end.signal.aborted) this.#hooks.fail(error)
      },
    )
  }

  /** Fetches from the expected position on, unless the partition has to wait. */
  #proceed(partition: Partition): void {
    const { partition: number } = partition.place
    // Another claim of the same partition may be at work.
    if (!partition.live) return
    if (this.#busy.has(partition)) this.#held.add(partition)
    if (this.#draining || partition.next === undefined || this.#busy.has(partition)) return this.#member?.pause(number)
    this.#member?.seek(number, partition.next)
    this.#member?.resume(number)
  }

  async #batch({ partition: number, from, last, records, resolve }: Batch): Promise<void> {
    const partition = this.#partitions.get(number)
    if (partition !== undefined && this.#busy.has(partition)) this.#held.add(partition)
    if (partition?.next === undefined || !partition.live || this.#draining || this.#busy.has(partition))
      return this.#member?.pause(number)
    const { next } = partition
    if (from > next && this.#gaps.get(partition) !== from) {
      this.#gaps.set(partition, from)
      this.#member?.seek(number, next)
      return
    }
    this.#gaps.delete(partition)
    resolve()
    if (last < next) return
    partition.next = last + 1n
    this.#busy.add(partition)
    const delivered = this.#hooks
      .deliver(partition, records(next))
      .catch((error: unknown) => this.#hooks.fail(error))
      .finally(() => {
        this.#busy.delete(partition)
        if (this.#held.delete(partition)) this.#proceed(partition)
      })
    const patience = new AbortController()
    const soon = await Promise.race([
      delivered.then(() => true),
      setTimeout(PATIENCE_MS, false, { signal: patience.signal }).catch(() => false),
    ])
    patience.abort()
    if (soon || !this.#busy.has(partition)) return
    this.#held.add(partition)
    this.#member?.pause(number)
  }

  /** The partition is read again from where it is committed, if it is still ours by then. */
  #lose(partition: Partition): void {
    if (this.#partitions.get(partition.place.partition) !== partition) return
    this.#drop(partition)
    this.#log(
      `${partition.name} has another owner, or was cut off: what is in flight of it is left to whoever reads it`,
    )
    const { partition: number } = partition.place
    this.#member?.pause(number)
    // Who was asleep hears from the group first that it is no longer a member, instead of fencing its successor.
    const ms = this.#options.sessionTimeoutMs / 10 + 500
    void setTimeout(ms, undefined, { signal: this.#end.signal }).then(
      () => this.#take(number),
      () => {},
    )
  }

  #drop(partition: Partition): void {
    const { partition: number } = partition.place
    partition.live = false
    this.#gaps.delete(partition)
    if (this.#partitions.get(number) === partition) {
      this.#partitions.delete(number)
      this.#hooks.forget(partition)
    }
    const release = partition
      .release()
      .catch((error: unknown) => this.#log(`${partition.name}: ${reasonOf(error)}`))
      .finally(() => this.#releases.delete(release))
    this.#releases.add(release)
  }
}

function max(one: bigint, other: bigint): bigint {
  return one > other ? one : other
}
