import { ConfigError, TransportError } from '../errors.ts'
import type { Origin } from '../events.ts'
import type { RawRecord } from '../ports.ts'

/** The next offset of a partition to read if we crashed now. */
export type Position = { readonly topic: string; readonly partition: number; readonly next: bigint }

/** What a call ended: how far each touched partition may be committed, and the parked events that go with it. */
export type Settlement<T> = { readonly positions: readonly Position[]; readonly parked: readonly T[] }

type Candidate<T> = { readonly origin: Origin; readonly bytes: number; kept: T }
type Entry<T> = Candidate<T> & { readonly state: Partition<T>; parked: boolean }
/** Offsets are entered in rising order, so the first open one is the lowest. */
type Partition<T> = {
  readonly topic: string
  readonly partition: number
  last: bigint
  readonly open: Set<Entry<T>>
}
type Waiter<T> = { readonly entry: Candidate<T>; readonly resolve: (entered: boolean) => void }

/**
 * The events between source and sink: holds the source back while too many, or too many bytes, are open, and knows which
 * offsets are safe to commit. RxJS queues grow without bound, so every queue behind a source is bounded by this alone.
 * `T` is what a transport keeps of an open event, such as its original bytes.
 */
export class InFlight<T> {
  readonly #maxEvents: number
  readonly #maxBytes: number
  readonly #partitions = new Map<string, Map<number, Partition<T>>>()
  /** By identity: an origin of before a `forget` must not end the event that was read again. */
  readonly #open = new Map<Origin, Entry<T>>()
  readonly #waiters: Waiter<T>[] = []
  #bytes = 0
  #closed = false

  /** Throws ConfigError unless both limits are integers from 1. */
  constructor(limits: { readonly maxInFlight: number; readonly maxInFlightBytes: number }) {
    for (const [option, limit] of Object.entries(limits))
      if (!Number.isSafeInteger(limit) || limit < 1)
        throw new ConfigError(`${option} is ${limit}, expected an integer from 1`)
    this.#maxEvents = limits.maxInFlight
    this.#maxBytes = limits.maxInFlightBytes
  }

  get events(): number {
    return this.#open.size
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Events of one partition that are open. */
  open(topic: string, partition: number): number {
    return this.#partitions.get(topic)?.get(partition)?.open.size ?? 0
  }

  /**
   * Opens an event. Waits while it does not fit, and then until no more than half of each limit is used, so that a source
   * does not flap; an event larger than all bytes goes alone. False, and not opened, after `close` or `forget`.
   */
  async enter(origin: Origin, bytes: number, kept: T): Promise<boolean> {
    if (this.#closed) return false
    const entry = { origin, bytes, kept }
    if (this.#waiters.length > 0 || !this.#fits(entry))
      return new Promise(resolve => this.#waiters.push({ entry, resolve }))
    this.#enter(entry)
    return true
  }

  /** What was kept of an open event. Throws TransportError if it is not open: settled twice, or not from here. */
  kept(origin: Origin): T {
    return this.#find(origin).kept
  }

  /** Ends events, or none when one of them is not open: TransportError. */
  settle(origins: readonly Origin[]): Settlement<T> {
    const entries = origins.map(origin => this.#find(origin))
    for (const entry of entries) this.#end(entry)
    return this.#settlement(entries)
  }

  /**
   * Ends an event once all before it in its partition have ended, so that its dead letter can be written together with
   * the position that passes it. `kept` comes out of this call or of a later `settle`.
   */
  park(origin: Origin, kept: T): Settlement<T> {
    return this.parkAll([[origin, kept]])
  }

  /** Parks events, or none when one of them is not open: TransportError. */
  parkAll(events: readonly (readonly [origin: Origin, kept: T])[]): Settlement<T> {
    const found = events.map(([origin, kept]) => ({ entry: this.#find(origin), kept }))
    for (const { entry, kept } of found) {
      entry.kept = kept
      entry.parked = true
    }
    return this.#settlement(found.map(({ entry }) => entry))
  }

  /** Drops a topic's partition, or all of them: no longer ours, or to be read again. What waits to enter is refused. */
  forget(topic: string, partition?: number): void {
    const gone = (one: { readonly topic: string; readonly partition: number }): boolean =>
      one.topic === topic && (partition === undefined || one.partition === partition)
    const states = this.#partitions.get(topic)
    for (const state of states?.values() ?? []) {
      if (!gone(state)) continue
      for (const entry of state.open) this.#end(entry)
      states?.delete(state.partition)
    }
    const stay = this.#waiters.filter(({ entry }) => !gone(entry.origin))
    for (const { entry, resolve } of this.#waiters.splice(0, Infinity, ...stay)) if (gone(entry.origin)) resolve(false)
    this.#admit()
  }

  /** Lets nothing more in; what is open can still be settled. */
  close(): void {
    this.#closed = true
    for (const { resolve } of this.#waiters.splice(0)) resolve(false)
  }

  #fits({ bytes }: Candidate<T>): boolean {
    return this.#open.size === 0 || (this.#open.size < this.#maxEvents && this.#bytes + bytes <= this.#maxBytes)
  }

  #enter({ origin, bytes, kept }: Candidate<T>): void {
    const state = this.#partition(origin)
    if (origin.offset <= state.last)
      throw new TransportError(`${place(origin)}: expected an offset above ${state.last}, the last one read`)
    state.last = origin.offset
    const entry = { origin, bytes, kept, state, parked: false }
    state.open.add(entry)
    this.#open.set(origin, entry)
    this.#bytes += bytes
  }

  #partition({ topic, partition }: Origin): Partition<T> {
    const states = this.#partitions.get(topic) ?? new Map<number, Partition<T>>()
    this.#partitions.set(topic, states)
    const state = states.get(partition) ?? { topic, partition, last: -1n, open: new Set() }
    states.set(partition, state)
    return state
  }

  #find(origin: Origin): Entry<T> {
    const entry = this.#open.get(origin)
    if (entry === undefined)
      throw new TransportError(`${place(origin)} is not open, expected an event of this source, settled once`)
    return entry
  }

  #end(entry: Entry<T>): void {
    // A window may hold several answers to one event.
    if (!this.#open.delete(entry.origin)) return
    entry.state.open.delete(entry)
    this.#bytes -= entry.bytes
  }

  #settlement(entries: readonly Entry<T>[]): Settlement<T> {
    const positions: Position[] = []
    const parked: T[] = []
    for (const state of new Set(entries.map(entry => entry.state))) {
      for (const entry of state.open) {
        if (!entry.parked) break
        this.#end(entry)
        parked.push(entry.kept)
      }
      const [lowest] = state.open
      positions.push({ topic: state.topic, partition: state.partition, next: lowest?.origin.offset ?? state.last + 1n })
    }
    this.#admit()
    return { positions, parked }
  }

  #admit(): void {
    if (this.#open.size > this.#maxEvents / 2 || this.#bytes > this.#maxBytes / 2) return
    for (let [waiter] = this.#waiters; waiter !== undefined && this.#fits(waiter.entry); [waiter] = this.#waiters) {
      this.#waiters.shift()
      this.#enter(waiter.entry)
      waiter.resolve(true)
    }
  }
}

function place({ topic, partition, offset }: Origin): string {
  return `topic "${topic}" partition ${partition} offset ${offset}`
}

/** What a record counts for: the bytes of its key, value and headers. */
export function sizeOf({ key, value, headers }: RawRecord): number {
  return (
    (key?.length ?? 0) +
    (value?.length ?? 0) +
    headers.reduce((sum, [name, { length }]) => sum + name.length + length, 0)
  )
}
