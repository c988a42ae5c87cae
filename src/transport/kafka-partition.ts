import { TransportError } from '../errors.ts'
import type { Place, Position, Writer } from './kafka-client.ts'
import { isFenced, type Persistence } from './kafka-errors.ts'
import type { OutRecord } from './kafka-records.ts'

/** What a window's share of a partition writes, and the position that this brings the partition to. */
export type Share = { readonly records: readonly OutRecord[]; readonly next: bigint }

/** Where to begin when the group has no position, and when what it has is not there any more. */
export type Begin = {
  readonly from: 'earliest' | 'latest'
  readonly onOutOfRange: 'fail' | 'earliest' | 'latest'
}

export type PartitionIo = {
  /** A writer; exactly-once, it has fenced all earlier ones, and their transactions are over. */
  writer(place: Place): Promise<Writer>
  position(place: Place): Promise<Position>
  /** Whether writers commit the position together with the records; else somebody does behind them. */
  readonly commits: boolean
}

/**
 * One input partition from the join that brought it to its loss. Whoever writes for a partition has first fenced everybody
 * else, and only then asked how far it is committed. As long as a commit then succeeds, nobody else can have committed in
 * between; so what is delivered from there on in order is answered once, whatever the group believes.
 */
export class Partition {
  readonly place: Place
  /** The next offset to take from the consumer; undefined until `claim` is done. */
  next: bigint | undefined
  /** False when the partition is somebody else's, or shall be read again. */
  live = true
  readonly #io: PartitionIo
  readonly #persistence: Persistence
  #writer: Writer | undefined
  #written: bigint | undefined
  #committed: bigint | undefined
  #begin: bigint | undefined
  #tail: Promise<unknown> = Promise.resolve()
  #failure: { readonly error: unknown } | undefined

  constructor(place: Place, io: PartitionIo, persistence: Persistence) {
    this.place = place
    this.#io = io
    this.#persistence = persistence
  }

  /** Up to where everything is committed, as far as it is known here. */
  get committed(): bigint | undefined {
    return this.#committed ?? this.#begin
  }

  /** For whoever commits behind the records. */
  set committed(next: bigint) {
    this.#committed = next
  }

  /** Up to where everything is written, and not committed yet; undefined where there is nothing such. */
  get behind(): bigint | undefined {
    return this.#io.commits || this.#written === this.#committed ? undefined : this.#written
  }

  get name(): string {
    return `topic "${this.place.topic}" partition ${this.place.partition}`
  }

  /**
   * Fences former owners, then finds where to begin. Throws TransportError with the range where the committed position is
   * outside of what the broker has, unless told where to go on. Does nothing once the partition is lost.
   */
  async claim(begin: Begin): Promise<void> {
    const claimed = this.#persistence.until(`${this.name} cannot be taken over`, async () =>
      this.live ? await this.#fence() : undefined,
    )
    // So that the writer is not forgotten when the partition is lost meanwhile.
    this.#tail = claimed.catch(() => {})
    const position = await claimed
    if (position === undefined) return
    const { committed, low, high } = position
    this.#committed = committed
    let next = committed ?? (begin.from === 'earliest' ? low : high)
    if (next < low || next > high) {
      if (begin.onOutOfRange === 'fail')
        throw new TransportError(
          `${this.name}: the committed position ${next} is out of range, the broker has ${low} to ${high}; onOutOfRange says where to go on`,
        )
      next = begin.onOutOfRange === 'earliest' ? low : high
    }
    this.#begin = next
    this.next = next
  }

  /**
   * Writes a share, after those before it. When the outcome is not known, and writers commit, it asks the broker, so that
   * nothing is written twice; else it writes again. False when the partition was lost, and nothing was written or it is not known whether.
   * Throws TransportError for what no retry can mend.
   */
  async write(share: Share): Promise<boolean> {
    const done = this.#tail.then(() => this.#write(share))
    this.#tail = done.catch(() => {})
    return await done
  }

  /** Until the writes that have begun are over. */
  async idle(): Promise<void> {
    await this.#tail
  }

  /** After the writes that have begun. */
  async release(): Promise<void> {
    this.live = false
    await this.#tail
    await this.#drop()
  }

  async #write(share: Share): Promise<boolean> {
    if (this.#failure !== undefined) throw this.#failure.error
    if (!this.live) return false
    try {
      this.live = (await this.#told(share)) && this.live
      return this.#written === share.next
    } catch (error) {
      // What comes after it must not be written without it, and has the same end.
      this.live = false
      this.#failure = { error }
      throw error
    }
  }

  /** False when the partition is somebody else's. */
  async #told(share: Share): Promise<boolean> {
    const what = `${this.name}: a window cannot be committed`
    try {
      return await this.#persist(what, share)
    } finally {
      this.#persistence.over(what)
    }
  }

  async #persist(what: string, { records, next }: Share): Promise<boolean> {
    for (let count = 0; ; count++) {
      // Lost while it waited: to try again would fence whoever has it now.
      if (!this.live) return false
      try {
        if (this.#writer === undefined && this.#io.commits) {
          const before = this.#committed
          this.#committed = (await this.#fence()).committed
          // The last attempt came through, though its answer did not.
          if (this.#committed === next) return this.#passed(next)
          if (this.#committed !== before) return false
        }
        // Committed behind the records, a position says nothing of them: they are written again.
        const writer = this.#writer ?? (await this.#open())
        await writer.write(records, next)
        return this.#passed(next)
      } catch (error) {
        await this.#drop()
        if (isFenced(error)) return false
        await this.#persistence.wait(what, error, count)
      }
    }
  }

  #passed(next: bigint): true {
    this.#written = next
    if (this.#io.commits) this.#committed = next
    return true
  }

  async #fence(): Promise<Position> {
    const writer = await this.#open()
    const position = await this.#io.position(this.place)
    // What a former coordinator tells may be of the time before it was replaced.
    const { coordinator = position.coordinator } = writer
    if (position.coordinator !== coordinator)
      throw new TransportError(
        `the group's coordinator is ${coordinator}, but ${position.coordinator} told the position`,
      )
    return position
  }

  async #open(): Promise<Writer> {
    await this.#drop()
    this.#writer = await this.#io.writer(this.place)
    return this.#writer
  }

  async #drop(): Promise<void> {
    const writer = this.#writer
    this.#writer = undefined
    await writer?.close()
  }
}
