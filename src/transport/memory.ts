import { setImmediate } from 'node:timers/promises'
import { Observable, type Subscriber } from 'rxjs'
import { SchemaError, TransportError } from '../errors.ts'
import type { Failed, Message, Origin } from '../events.ts'
import type { Codec, Schema, Settled, Sink, Transport } from '../ports.ts'
import { deadLetter } from './dead-letter.ts'
import { decoder } from './decode.ts'
import { InFlight, sizeOf, type Settlement } from './in-flight.ts'
import { Topics, type NewRecord, type StoredRecord } from './topics.ts'
import { turns } from './turns.ts'

/** Records read in one go before timers and signals get their turn; nothing else here waits for the event loop. */
const RECORDS_PER_TURN = 64

export type MemoryOptions = {
  readonly codec: Codec
  /** Topics to share with another transport, or to open again after a crash. By default new ones. */
  readonly topics?: Topics
  /** Where events go that cannot be answered. By default nowhere: the first one stops the topology. */
  readonly deadLetters?: string
  /** Events open at once, by default 256. Below a window's size, every window waits out its time. */
  readonly maxInFlight?: number
  /** Bytes of keys, values and headers open at once, by default 64 MiB. */
  readonly maxInFlightBytes?: number
}

/** A transport over topics in this process, and what a demo or a test needs around it. */
export type MemoryTransport = Transport & {
  readonly topics: Topics
  /** Encodes values and appends them to a topic. Throws SchemaError, and appends none, when one does not fit. */
  produce<T>(
    topic: string,
    schema: Schema<T>,
    values: readonly T[],
    record?: Partial<Omit<NewRecord, 'topic' | 'value'>>,
  ): Promise<void>
  /** Every value of a topic, decoded. */
  read<T>(topic: string, schema: Schema<T>): Promise<readonly T[]>
}

type Kept = { readonly record: StoredRecord; readonly dead?: NewRecord }

/**
 * The whole of a broker's behaviour in one process: real bytes through the codec, partitions, committed offsets, dead
 * letters, back-pressure, and answers, dead letters and offsets that are written together or not at all. Throws ConfigError
 * for limits below 1.
 */
export function memory(options: MemoryOptions): MemoryTransport {
  const { codec, topics = new Topics(), deadLetters, maxInFlight = 256, maxInFlightBytes = 64 * 2 ** 20 } = options
  const inFlight = new InFlight<Kept>({ maxInFlight, maxInFlightBytes })
  const sources = new Map<string, AbortController>()
  let stopped = false
  let closed = false

  return { topics, source, sink, produce, read, stop, close }

  function source<T>(topic: string, schema: Schema<T>): Observable<Message<T>> {
    return new Observable(subscriber => {
      if (closed) throw new TransportError(`topic "${topic}": the transport is closed`)
      if (sources.has(topic)) throw new TransportError(`topic "${topic}" has a source already, expected one: share it`)
      const end = new AbortController()
      sources.set(topic, end)
      if (stopped) end.abort()
      // What a former source left open is read again.
      inFlight.forget(topic)
      deliver(topic, decoder(codec, topic, schema), subscriber, end.signal).then(
        () => subscriber.complete(),
        (error: unknown) => subscriber.error(error),
      )
      return () => {
        sources.delete(topic)
        end.abort()
      }
    })
  }

  async function deliver<T>(
    topic: string,
    decode: (record: StoredRecord) => Promise<T>,
    subscriber: Subscriber<Message<T>>,
    end: AbortSignal,
  ): Promise<void> {
    const next = Array.from({ length: topics.partitions }, (_, partition) => topics.committed(topic, partition))
    for (let count = 1; !end.aborted;) {
      const records = next.flatMap((offset, partition) => topics.read(topic, partition, offset) ?? [])
      if (records.length === 0) {
        if (topics.ended(topic)) return
        await changeOf(topics, end)
      }
      for (const record of records) {
        next[record.partition] = record.offset + 1n
        const { partition, offset, timestamp, key, headers } = record
        const origin = { topic, partition, offset, timestamp }
        if (!(await inFlight.enter(origin, sizeOf(record), { record })) || end.aborted) return
        try {
          const value = await decode(record)
          subscriber.next({ value, origin, key, headers, receivedAt: performance.now() })
        } catch (error) {
          refuse(origin, record, error)
        }
        if (count++ % RECORDS_PER_TURN === 0) await setImmediate()
      }
    }
  }

  /** A record that does not decode: dead-lettered, in its turn. Anything but a SchemaError stops the source. */
  function refuse(origin: Origin, record: StoredRecord, error: unknown): void {
    if (!(error instanceof SchemaError) || deadLetters === undefined) throw error
    const { key, value, headers } = record
    const message = { value, origin, key, headers, receivedAt: performance.now() }
    const failed: Failed = { message, stage: 'decode', code: error.code, reason: error.message }
    commit(inFlight.park(origin, { record, dead: { topic: deadLetters, ...deadLetter(failed, record) } }), [])
  }

  function sink<T>(topic: string, schema: Schema<T>): Sink<T> {
    const serde = codec(topic, schema)
    const turn = turns()
    return { settle: (done, failed) => turn(() => write(done, failed)) }

    async function write(done: readonly Settled<T>[], failed: readonly Failed[]): Promise<void> {
      const records: NewRecord[] = []
      const refused = [...failed]
      for (const { value, message } of done) {
        try {
          records.push({ topic, key: message.key, headers: message.headers, value: await serde.encode(value) })
        } catch (error) {
          if (!(error instanceof SchemaError)) throw error
          // It would not fit the next time either, and costs only itself.
          refused.push({ message, stage: 'publish', code: error.code, reason: error.message })
        }
      }
      if (closed) throw new TransportError(`topic "${topic}": the transport is closed, and nothing was written`)
      for (const one of refused) records.push(dead(one))
      commit(inFlight.settle([...done, ...failed].map(({ message }) => message.origin)), records)
    }
  }

  function dead(failed: Failed): NewRecord {
    const { topic, partition, offset } = failed.message.origin
    if (deadLetters === undefined)
      throw new TransportError(
        `topic "${topic}" partition ${partition} offset ${offset} failed in ${failed.stage} (${failed.code}: ${failed.reason}) and there is no topic for dead letters`,
      )
    return { topic: deadLetters, ...deadLetter(failed, inFlight.kept(failed.message.origin).record) }
  }

  function commit({ positions, parked }: Settlement<Kept>, records: readonly NewRecord[]): void {
    topics.write([...records, ...parked.flatMap(({ dead: letter }) => letter ?? [])], positions)
  }

  async function produce<T>(
    topic: string,
    schema: Schema<T>,
    values: readonly T[],
    record: Partial<Omit<NewRecord, 'topic' | 'value'>> = {},
  ): Promise<void> {
    const serde = codec(topic, schema)
    const encoded = await Promise.all(values.map(value => serde.encode(value)))
    topics.write(encoded.map(value => ({ key: null, headers: [], ...record, topic, value })))
  }

  async function read<T>(topic: string, schema: Schema<T>): Promise<readonly T[]> {
    return Promise.all(topics.records(topic).map(decoder(codec, topic, schema)))
  }

  async function stop(): Promise<void> {
    stopped = true
    inFlight.close()
    for (const end of sources.values()) end.abort()
  }

  async function close(): Promise<void> {
    await stop()
    closed = true
  }
}

/** Until a topic changes or the source shall end. */
async function changeOf(topics: Topics, end: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const unwatch = topics.watch(done)
    end.addEventListener('abort', done)

    function done(): void {
      unwatch()
      end.removeEventListener('abort', done)
      resolve()
    }
  })
}
