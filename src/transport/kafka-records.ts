import type { Headers } from '../events.ts'
import type { RawRecord } from '../ports.ts'

/** A record on its way out, and where to. */
export type OutRecord = RawRecord & { readonly topic: string }

/** A record that was read, and where it stands. */
export type InRecord = RawRecord & { readonly offset: bigint; readonly timestamp: number }

/** A record as kafkajs takes it. */
type NewMessage = {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Record<string, Buffer[]>
}

/**
 * Headers as kafkajs has them: grouped by name, null where there is no value. It groups in a plain object, so that under a name
 * such as `constructor` stands what every object inherits, too.
 */
type GroupedHeaders = Readonly<Record<string, unknown>>

/** A record as kafkajs gives it. */
type OldMessage = {
  readonly offset: string
  readonly timestamp: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: GroupedHeaders
}

/** Records from an offset on, each made when it is asked for. */
export function* recordsFrom(messages: Iterable<OldMessage>, next: bigint): Generator<InRecord, void> {
  for (const message of messages) {
    const record = toRecord(message)
    if (record.offset >= next) yield record
  }
}

export function toRecord({ offset, timestamp, key, value, headers }: OldMessage): InRecord {
  return { offset: BigInt(offset), timestamp: Number(timestamp), key, value, headers: toHeaders(headers ?? {}) }
}

/** Records in runs of a length, in order; the last run may be shorter, or empty. */
export function* runsOf(records: Iterable<InRecord>, length: number): Generator<readonly InRecord[], void> {
  let run: InRecord[] = []
  for (const record of records) {
    run.push(record)
    if (run.length < length) continue
    yield run
    run = []
  }
  yield run
}

function toHeaders(headers: GroupedHeaders): Headers {
  return Object.entries(headers).flatMap(([name, values]) =>
    (Array.isArray(values) ? values : [values]).flatMap((value: unknown) => {
      if (value === null || value === undefined) return [[name, Buffer.alloc(0)] as const]
      return typeof value === 'string' || Buffer.isBuffer(value) ? [[name, Buffer.from(value)] as const] : []
    }),
  )
}

/** Records of a topic as kafkajs takes them. */
export type NewBatch = { topic: string; messages: NewMessage[] }

/** Records by their topic, in order. */
export function byTopic(records: readonly OutRecord[]): NewBatch[] {
  const topics = new Map<string, NewMessage[]>()
  for (const record of records) {
    const before = topics.get(record.topic)
    if (before === undefined) topics.set(record.topic, [toMessage(record)])
    else before.push(toMessage(record))
  }
  return [...topics].map(([topic, messages]) => ({ topic, messages }))
}

/** A record as kafkajs takes it, its bytes not copied. */
export function toMessage({ key, value, headers }: RawRecord): NewMessage {
  const named = new Map<string, Buffer[]>()
  for (const [name, content] of headers) named.set(name, [...(named.get(name) ?? []), asBuffer(content)])
  return {
    key: key === null ? null : asBuffer(key),
    value: value === null ? null : asBuffer(value),
    headers: Object.fromEntries(named),
  }
}

/** The same bytes, not a copy. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
