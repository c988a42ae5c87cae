import type { Partition, Share } from './kafka-partition.ts'
import type { Persistence } from './kafka-errors.ts'

export type CommitsIo = {
  /** Commits positions by partition, in one request. */
  readonly commit: (positions: ReadonlyMap<number, bigint>) => Promise<void>
  /** Whether commits wait for the positions behind them, too. */
  readonly wholly: () => boolean
  /** Told of every share whose position is committed. */
  readonly committed: () => void
  /** Somebody else has the partition. */
  readonly lose: (partition: Partition) => void
  /** Told of what no retry can mend. */
  readonly fail: (error: unknown) => void
}

/**
 * The commits of a topic's partitions. Where their writers do not commit positions, that is done behind them, in one request
 * at a time: others are being written meanwhile, but count as written only when the next request has begun, which is for all
 * of them. So what a crash repeats is at most what one request was for, and what was being written.
 */
export class Commits {
  readonly #what: string
  readonly #io: CommitsIo
  readonly #persistence: Persistence
  readonly #open = new Set<Promise<unknown>>()
  /** Those of which more may be written than the last request commits. */
  readonly #waiting = new Set<Partition>()
  #behind: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined

  constructor(topic: string, io: CommitsIo, persistence: Persistence) {
    this.#what = `topic "${topic}": positions cannot be committed`
    this.#io = io
    this.#persistence = persistence
  }

  /**
   * Writes shares, each after those before it in its partition; a share whose partition was lost is left to its next owner. Throws TransportError for what no retry can mend.
   */
  async commit(shares: ReadonlyMap<Partition, Share>): Promise<void> {
    const done = this.#commit(shares)
    const over = done.catch(() => {}).finally(() => this.#open.delete(over))
    this.#open.add(over)
    await done
  }

  /** Until no position is behind what is written, or it is given up. */
  async followed(): Promise<void> {
    while (this.#behind !== undefined) await this.#behind
  }

  /** Until the commits that have begun are over, those of positions among them. */
  async idle(): Promise<void> {
    await Promise.all(this.#open)
    await this.followed()
  }

  async #commit(shares: ReadonlyMap<Partition, Share>): Promise<void> {
    const results = await Promise.allSettled(
      [...shares].map(async ([partition, share]) => {
        if (!(await partition.write(share))) this.#io.lose(partition)
        else if (partition.behind === undefined) this.#io.committed()
      }),
    )
    await this.#follow([...shares.keys()])
    if (this.#io.wholly()) await this.followed()
    for (const result of results) if (result.status === 'rejected') throw result.reason
    if (this.#failure !== undefined) throw this.#failure.error
  }

  /** Begins to commit how far partitions are written, once those before them are committed; all that waited in one request. */
  async #follow(partitions: readonly Partition[]): Promise<void> {
    for (const partition of partitions) this.#waiting.add(partition)
    // Not `await this.followed()`: that returns a turn later, when others that waited have found nothing under way, too.
    while (this.#behind !== undefined && partitions.some(partition => this.#waiting.has(partition))) await this.#behind
    if (this.#failure !== undefined || this.#behind !== undefined) return
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    if (positionsOf(waiting).size === 0) return
    this.#behind = this.#persistence
      .until(this.#what, async () => {
        // Anew for every attempt: more may be written by then, and partitions lost.
        const positions = positionsOf(waiting)
        if (positions.size === 0) return
        await this.#io.commit(new Map([...positions].map(([{ place }, next]) => [place.partition, next])))
        for (const [partition, next] of positions) partition.committed = next
        this.#io.committed()
      })
      .catch((error: unknown) => {
        this.#failure = { error }
        this.#io.fail(error)
      })
      .finally(() => (this.#behind = undefined))
  }
}

function positionsOf(partitions: readonly Partition[]): ReadonlyMap<Partition, bigint> {
  const found = new Map<Partition, bigint>()
  for (const partition of partitions)
    if (partition.live && partition.behind !== undefined) found.set(partition, partition.behind)
  return found
}
