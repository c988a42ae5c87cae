import { ConfigError } from '../errors.ts'
import type { RawRecord } from '../ports.ts'
import type { Position } from './in-flight.ts'

/** Each partition costs a log; this is for one process. */
const MAX_PARTITIONS = 1024

/** A record as a topic keeps it. */
export type StoredRecord = RawRecord & {
  readonly partition: number
  readonly offset: bigint
  /** Milliseconds since 1970. */
  readonly timestamp: number
}

/** A record on its way to a topic. */
export type NewRecord = RawRecord & {
  readonly topic: string
  /** By default where its key says; without a key, round. */
  readonly partition?: number
  /** By default now. */
  readonly timestamp?: number
}

/**
 * Topics in this process: partitioned logs and the positions committed in them. They outlive the transports that read
 * them, as a broker does, and keep every record for as long as they live: for demos, tests and single files.
 */
export class Topics {
  readonly partitions: number
  readonly #logs = new Map<string, readonly StoredRecord[][]>()
  readonly #committed = new Map<string, bigint>()
  readonly #ended = new Set<string>()
  readonly #watchers = new Set<() => void>()
  #round = 0

  /** Throws ConfigError unless `partitions` (of every topic; by default 1) is an integer from 1 to 1024. */
  constructor(options: { readonly partitions?: number } = {}) {
    this.partitions = options.partitions ?? 1
    if (!Number.isInteger(this.partitions) || this.partitions < 1 || this.partitions > MAX_PARTITIONS)
      throw new ConfigError(`partitions is ${this.partitions}, expected an integer from 1 to ${MAX_PARTITIONS}`)
  }

  /** Appends records and commits positions, all of them or, when one cannot be appended, nothing: ConfigError. */
  write(records: readonly NewRecord[], positions: readonly Position[] = []): void {
    const placed = records.map(record => ({ record, log: this.#logOf(record) }))
    for (const { record, log } of placed) {
      const { key, value, headers, timestamp = Date.now() } = record
      log.records.push({ key, value, headers, timestamp, partition: log.partition, offset: BigInt(log.records.length) })
    }
    for (const { topic, partition, next } of positions) this.#committed.set(`${topic}/${partition}`, next)
    this.#changed()
  }

  /** The records of a topic, partition by partition. */
  records(topic: string): readonly StoredRecord[] {
    return this.#logs.get(topic)?.flat() ?? []
  }

  read(topic: string, partition: number, offset: bigint): StoredRecord | undefined {
    return this.#logs.get(topic)?.[partition]?.[Number(offset)]
  }

  /** The next offset to read; 0 before anything was committed. */
  committed(topic: string, partition: number): bigint {
    return this.#committed.get(`${topic}/${partition}`) ?? 0n
  }

  /** Nothing more comes to this topic: a source completes when it has read all. */
  end(topic: string): void {
    this.#ended.add(topic)
    this.#changed()
  }

  ended(topic: string): boolean {
    return this.#ended.has(topic)
  }

  /** Calls back after every change, until the returned function is called. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  #logOf(record: NewRecord): { readonly partition: number; readonly records: StoredRecord[] } {
    const {
      topic,
      key,
      partition = key === null ? this.#round++ % this.partitions : hash(key) % this.partitions,
    } = record
    if (this.#ended.has(topic)) throw new ConfigError(`topic "${topic}" has ended, expected no more records`)
    const logs = this.#logs.get(topic) ?? Array.from({ length: this.partitions }, (): StoredRecord[] => [])
    const records = logs[partition]
    if (records === undefined)
      throw new ConfigError(`topic "${topic}": partition is ${partition}, expected 0 to ${this.partitions - 1}`)
    this.#logs.set(topic, logs)
    return { partition, records }
  }

  #changed(): void {
    for (const watcher of this.#watchers) watcher()
  }
}

/** Equal keys, equal partitions; not the hash of any broker. */
function hash(key: Uint8Array): number {
  let state = 0
  for (const byte of key) state = (Math.imul(state, 31) + byte) >>> 0
  return state
}
