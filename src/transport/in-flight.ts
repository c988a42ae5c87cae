import { ConfigError, TransportError } from '../errors.ts'
import type { Origin } from '../events.ts'

/** The next offset of a partition to read if we crashed now. */
export type Position = { readonly topic: string; readonly partition: number; readonly next: bigint }

/** What a call ended: how far each touched partition may be committed, and the parked events that go with it. */
export type Settlement<T> = { readonly positions: readonly Position[]; readonly parked: readonly T[] }

type Entry<T> = { readonly origin: Origin; readonly bytes: number; kept: T; parked: boolean }
/** Offsets are entered in rising order, so the first open one is the lowest. */
type Partition<T> = {
  readonly topic: string
  readonly partition: number
  last: bigint
  readonly open: Map<bigint, Entry<T>>
}
type Waiter<T> = { readonly entry: Entry<T>; readonly resolve: (entered: boolean) => void }

/**
 * The events between source and sink: holds the source back while too many, or too many bytes, are open, and knows which
 * offsets are safe to commit. RxJS queues grow without bound, so every queue behind a source is bounded by this alone.
 * `T` is what a transport keeps of an open event, such as its original bytes.
 */
export class InFlight<T> {
  readonly #maxEvents: number
  readonly #maxBytes: number
  readonly #partitions = new Map<string, Partition<T>>()
  readonly #waiters: Waiter<T>[] = []
  #events = 0
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
    return this.#events
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Events of one partition that are open. */
  open(topic: string, partition: number): number {
    return this.#partitions.get(keyOf({ topic, partition }))?.open.size ?? 0
  }

  /**
   * Opens an event. Waits while it does not fit, and then until no more than half of each limit is used, so that a source
   * does not flap; an event larger than all bytes goes alone. False, and not opened, after `close` or `forget`.
   */
  async enter(origin: Origin, bytes: number, kept: T): Promise<boolean> {
    if (this.#closed) return false
    const entry = { origin, bytes, kept, parked: false }
    if (this.#waiters.length > 0 || !this.#fits(entry))
      return new Promise(resolve => this.#waiters.push({ entry, resolve }))
    this.#open(entry)
    return true
  }

  /** What was kept of an open event. Throws TransportError if it is not open: settled twice, or not from here. */
  kept(origin: Origin): T {
    return this.#find(origin).kept
  }

  /** Ends events, or none when one of them is not open: TransportError. */
  settle(origins: readonly Origin[]): Settlement<T> {
    for (const origin of origins) this.#find(origin)
    for (const origin of origins) this.#end(origin)
    return this.#settlement(origins)
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
    return this.#settlement(events.map(([origin]) => origin))
  }

  /** Drops a topic's partition, or all of them: no longer ours, or to be read again. What waits to enter is refused. */
  forget(topic: string, partition?: number): void {
    const gone = (one: { readonly topic: string; readonly partition: number }): boolean =>
      one.topic === topic && (partition === undefined || one.partition === partition)
    for (const [key, state] of this.#partitions) {
      if (!gone(state)) continue
      for (const { origin } of state.open.values()) this.#end(origin)
      this.#partitions.delete(key)
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

  #fits({ bytes }: Entry<T>): boolean {
    return this.#events === 0 || (this.#events < this.#maxEvents && this.#bytes + bytes <= this.#maxBytes)
  }

  #open(entry: Entry<T>): void {
    const { topic, partition, offset } = entry.origin
    const key = keyOf(entry.origin)
    const state = this.#partitions.get(key) ?? { topic, partition, last: -1n, open: new Map<bigint, Entry<T>>() }
    if (offset <= state.last)
      throw new TransportError(`${place(entry.origin)}: expected an offset above ${state.last}, the last one read`)
    state.last = offset
    state.open.set(offset, entry)
    this.#partitions.set(key, state)
    this.#events++
    this.#bytes += entry.bytes
  }

  /** By identity: an origin of before a `forget` must not end the event that was read again. */
  #find(origin: Origin): Entry<T> {
    const entry = this.#partitions.get(keyOf(origin))?.open.get(origin.offset)
    if (entry?.origin !== origin)
      throw new TransportError(`${place(origin)} is not open, expected an event of this source, settled once`)
    return entry
  }

  #end(origin: Origin): void {
    const open = this.#partitions.get(keyOf(origin))?.open
    const entry = open?.get(origin.offset)
    // A window may hold several answers to one event.
    if (open === undefined || entry === undefined) return
    open.delete(origin.offset)
    this.#events--
    this.#bytes -= entry.bytes
  }

  #settlement(origins: readonly Origin[]): Settlement<T> {
    const positions: Position[] = []
    const parked: T[] = []
    for (const key of new Set(origins.map(keyOf))) {
      const state = this.#partitions.get(key)
      if (state === undefined) continue
      for (const entry of state.open.values()) {
        if (!entry.parked) break
        this.#end(entry.origin)
        parked.push(entry.kept)
      }
      const [lowest] = state.open.keys()
      positions.push({ topic: state.topic, partition: state.partition, next: lowest ?? state.last + 1n })
    }
    this.#admit()
    return { positions, parked }
  }

  #admit(): void {
    if (this.#events > this.#maxEvents / 2 || this.#bytes > this.#maxBytes / 2) return
    for (let [waiter] = this.#waiters; waiter !== undefined && this.#fits(waiter.entry); [waiter] = this.#waiters) {
      this.#waiters.shift()
      this.#open(waiter.entry)
      waiter.resolve(true)
    }
  }
}

function keyOf({ topic, partition }: { readonly topic: string; readonly partition: number }): string {
  return `${topic}/${partition}`
}

function place({ topic, partition, offset }: Origin): string {
  return `topic "${topic}" partition ${partition} offset ${offset}`
}
