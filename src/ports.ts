import type { Observable } from 'rxjs'
import type { ErrorData } from './errors.ts'
import type { EngineFacts, Failed, Headers, Message, Output, PoolFacts, Strategy, UsedAdapter } from './events.ts'
import type { Adapter, AdapterId, Digest, Hit, Lora, Mix } from './lora.ts'

/**
 * (a) Events in and out. A source delivers each partition in order and holds back while too many events are open;
 * batching and answering are the topology's job.
 */
export type Transport = {
  /** Decoded events of a topic. A record that does not decode is dead-lettered here and never seen. Completes after `stop`. */
  source<T>(topic: string, schema: Schema<T>): Observable<Message<T>>
  sink<T>(topic: string, schema: Schema<T>): Sink<T>
  /** Ends the sources; what is in flight can still be settled. */
  stop(): Promise<void>
  /** Releases everything. What is not settled will be read again. */
  close(): Promise<void>
  /** How it is doing, asked of whoever is out there; for transports that others watch. Never throws. */
  status?(): Promise<TransportStatus>
}

/** What a transport tells those who watch it. Times are ms since 1970, offsets those of records. */
export type TransportStatus = {
  /** Whether the source knows which partitions are its own. None may be, where there are more instances than partitions. */
  readonly joined: boolean
  readonly partitions: readonly PartitionStatus[]
  readonly inFlight: { readonly events: number; readonly bytes: number }
  readonly lastDelivery?: number
  readonly lastCommit?: number
  /** What has failed and is tried again, since when and how often. */
  readonly retrying: readonly Retrying[]
  /** Why nobody out there answers, where that is so. */
  readonly unreachable?: string
}

export type PartitionStatus = {
  readonly topic: string
  readonly partition: number
  /** The next offset to commit; absent while the partition is being taken over. */
  readonly position?: number
  /** The next offset to read, behind what was read and what holds no event. */
  readonly read?: number
  /** Where the partition ends for us; absent where that was not to be learned. */
  readonly end?: number
  /** Offsets between what is committed, or with nothing open what is read, and the end. */
  readonly lag?: number
  /** Events that were read and are not settled. */
  readonly open: number
}

export type Retrying = {
  readonly what: string
  readonly reason: string
  readonly since: number
  readonly attempts: number
}

/** Where answers go. */
export type Sink<T> = {
  /**
   * Publishes answers and dead letters and commits their origins: those of each partition of the source together or not at
   * all, as far as the transport's delivery promises it. Every event of a source ends in exactly one call. It may be called
   * again before a call is over: in each partition of the source answers are written in the order of the calls, and none of
   * those that wait behind a call that fails. Throws TransportError.
   */
  settle(done: readonly Settled<T>[], failed: readonly Failed[]): Promise<void>
}

/** An answer and the event that it answers; key and headers are that event's. */
export type Settled<T> = { readonly value: T; readonly message: Message<unknown> }

/** (f) Values to bytes and back, for one topic and schema. `decode` throws SchemaError. */
export type Codec = <T>(
  topic: string,
  schema: Schema<T>,
) => {
  encode(value: T): Promise<Uint8Array>
  decode(bytes: Uint8Array): Promise<T>
}

/**
 * An Avro schema and the type of its values. `parse` checks what Avro cannot say, such as ranges, and throws SchemaError;
 * transports call it on whatever they decoded. JSON lines know no types, so they need it.
 */
export type Schema<T> = {
  readonly name: string
  readonly avro: unknown
  readonly parse?: (value: unknown) => T
  readonly __value?: T
}

/** A record as bytes, before decoding. */
export type RawRecord = {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: Headers
}

/** (b) Texts to unit vectors: same text, same vector, whatever it is batched with. */
export type Encoder = {
  readonly facts: { readonly id: string; readonly digest: Digest; readonly dimension: number }
  /** One unit vector a text, in order. */
  encode(texts: readonly string[]): Promise<readonly Float32Array[]>
  close(): Promise<void>
}

/** Nearest vectors by inner product, which is the cosine where both have unit length. */
export type VectorIndex = {
  readonly size: number
  /** Adds a vector, or replaces the one of that key. */
  add(key: string, vector: Float32Array): void
  remove(key: string): void
  /**
   * For each question, in order, the `k` nearest that `skip` does not hold, best first; fewer when there are fewer. Several at
   * a time, so that vectors need to come from memory once for all of them.
   */
  search(questions: readonly Question[]): readonly (readonly Scored[])[]
}

/** Whose nearest are asked for, how many of them, and which are not wanted. */
export type Question = { readonly vector: Float32Array; readonly k: number; readonly skip: ReadonlySet<string> }

export type Scored = { readonly key: string; readonly score: number }

/** A text, as a prompt or as one of an adapter's samples, and its unit vector. */
export type Sample = { readonly text: string; readonly vector: Float32Array }

/**
 * (c) Which adapters fit a prompt, judged by their samples alone. What it answers depends on what is in it, not on the
 * order in which that came, up to rounding; in a pool too large to be fitted whole it may depend on when the fit was made.
 * An adapter without samples is never found.
 */
export type Scorer = {
  /** Adapters that can be found. */
  readonly size: number
  /** Takes an adapter's samples, or replaces them. */
  add(key: string, samples: readonly Sample[]): void
  remove(key: string): void
  /**
   * For each question, in order, the `k` likeliest that `skip` does not hold, best first, ties by key; fewer when there are
   * fewer. Scores are finite, and the same whatever else is asked with it.
   */
  search(questions: readonly (Question & Sample)[]): readonly (readonly Scored[])[]
  /**
   * Does what the next questions would otherwise wait for, in steps, so that others can have their turn between them. May be
   * left off at any step.
   */
  prepare(): Iterable<void>
  /**
   * What samples score that were left out of their adapter, a bounded selection where there are many; each made when it is
   * asked for, so that others can have their turn between them.
   */
  heldOut(): Iterable<HeldOut>
}

/**
 * The scores that one sample got where it had not been seen: of its own adapter, and of the others, best first; those after
 * the first few may be left out. `without` are the others' where a prompt excludes its own adapter.
 */
export type HeldOut = {
  readonly own: number
  readonly others: readonly number[]
  readonly without: readonly number[]
}

/** The adapters that can be retrieved now. */
export type Pool = {
  /** Encodes and searches; every answer of one call is from the same epoch. */
  retrieve(queries: readonly Query[]): Promise<Retrieval>
  close(): Promise<void>
}

export type Query = {
  readonly text: string
  readonly k: number
  readonly exclude: readonly string[]
  /** Named adapters: no search. */
  readonly adapters?: readonly { readonly id: string; readonly weight?: number }[]
}

/** For each query its hits, or why there are none to be had. */
export type Retrieval = {
  readonly pool: PoolFacts
  readonly hits: readonly (readonly Hit[] | ErrorData)[]
}

/** (g) Where adapters come from. */
export type AdapterSource = {
  /** What is there now, then every change, then nothing after `close`. */
  readonly changes: Observable<AdapterChange>
  close(): Promise<void>
}

export type AdapterChange =
  | { readonly type: 'added'; readonly adapter: Adapter; readonly samples: readonly string[] }
  | { readonly type: 'removed'; readonly id: AdapterId }
  | { readonly type: 'refused'; readonly id: string; readonly error: ErrorData }
  /** Everything that was there at the start has been told. */
  | { readonly type: 'caught-up' }

/** (d) Hits to a mix: which LoRAs, with which weights, and what provenance says of it. */
export type Compose = (hits: readonly Hit[]) => Composition

export type Composition = {
  readonly strategy: Strategy
  readonly mix: Mix
  readonly used: readonly UsedAdapter[]
}

/** (e) Runs a window's rows as one batch. Knows a stack of LoRAs and a mapping, no events. */
export type Engine = {
  readonly facts: EngineFacts
  /** For each row its output, or why that row alone has none. Throws when the run as a whole failed. */
  run(batch: Batch): Promise<readonly (Output | ErrorData)[]>
  close(): Promise<void>
}

/** The rows of one forward pass, and who mixes what: `mapping[row]` holds indices into `stack` and their weights. */
export type Batch = {
  readonly rows: readonly Row[]
  readonly stack: readonly Lora[]
  readonly mapping: readonly (readonly { readonly lora: number; readonly weight: number }[])[]
}

/** One prompt, as the engine takes it. */
export type Row = {
  /** Text with an optional system message (the engine applies its template), or token ids as they are. */
  readonly prompt: { readonly text: string; readonly system?: string } | { readonly tokens: readonly number[] }
  readonly maxTokens: number
  readonly temperature: number
  readonly topP: number
  /** 0 is all. */
  readonly topK: number
  readonly seed: number
  readonly stop: readonly string[]
  readonly ignoreEos: boolean
}
