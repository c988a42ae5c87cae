import { Observable, type Subscriber } from 'rxjs'
import { ConfigError, SchemaError, TransportError } from '../errors.ts'
import type { Failed, Message, Origin } from '../events.ts'
import type { Codec, RawRecord, Retrying, Schema, Settled, Sink, Transport, TransportStatus } from '../ports.ts'
import { deadLetter } from './dead-letter.ts'
import { decoder } from './decode.ts'
import { InFlight, sizeOf } from './in-flight.ts'
import { isBroker, KafkaClient, type ConnectOptions } from './kafka-client.ts'
import { Persistence } from './kafka-errors.ts'
import type { Partition, Share } from './kafka-partition.ts'
import { runsOf, type InRecord, type OutRecord } from './kafka-records.ts'
import { KafkaSource, type GroupOptions } from './kafka-source.ts'
import { partitionsOf, Probe } from './kafka-status.ts'
import { turns } from './turns.ts'

export type KafkaOptions = ConnectOptions & {
  /** The consumer group; instances of one group share the partitions. Also the prefix of transactional ids. */
  readonly group: string
  readonly codec: Codec
  /** Where events go that cannot be answered. By default nowhere: the first one stops the topology. */
  readonly deadLetters?: string
  /**
   * `exactly-once` (default): answers, dead letters and the position of a partition's share of a window are one transaction.
   * `at-least-once`: records first, and the position behind them, while the next windows are being written; a crash answers
   * again what was not committed yet: up to four windows that were being written, and four before them.
   */
  readonly delivery?: GroupOptions['delivery']
  /** Where to begin when the group has no position yet, by default `earliest`. */
  readonly from?: GroupOptions['from']
  /** When retention has deleted what was to be read next: `fail` (default), or go on at an end of what is there. */
  readonly onOutOfRange?: GroupOptions['onOutOfRange']
  /**
   * Events open at once, by default 256; windows that are being written, four at most, come on top. Below a window's size, every
   * window waits out its time.
   */
  readonly maxInFlight?: number
  /** Bytes of keys, values and headers open at once, by default 64 MiB. */
  readonly maxInFlightBytes?: number
  /** After as long without a sign of life the group gives an instance's partitions to others; by default 10,000. */
  readonly sessionTimeoutMs?: number
  /** Told of everything that is tried again, and of partitions that are lost; by default a line on stderr each. */
  readonly log?: (line: string) => void
}

/** Records of one partition in a row, before others have their turn: as many as a window has. */
const RUN_LENGTH = 64

/** What is kept of an open event: as it came, and once it is settled, what comes of it. */
type Kept = { readonly record: RawRecord; readonly outputs: OutRecord[] }

type Decoded<T> = { readonly origin: Origin; readonly record: RawRecord } & (
  | { readonly value: T }
  | { readonly error: SchemaError }
)

/** An answer as bytes. */
type Outcome = { readonly message: Message<unknown>; readonly record: OutRecord }

/**
 * Topics of a Kafka cluster. Each partition is claimed, delivered in order, and committed by itself; what fails for a time is
 * tried again, with a line in the log, while the source is held back. One topic at a time is read. Throws ConfigError
 * for options that cannot work; the source fails with TransportError for what no waiting mends.
 */
export function kafka(options: KafkaOptions): Transport {
  const { codec, deadLetters, maxInFlight = 256, maxInFlightBytes = 64 * 2 ** 20 } = options
  const { log = line => void process.stderr.write(`kafka: ${line}\n`) } = options
  const group = groupOptions(options)
  const inFlight = new InFlight<Kept>({ maxInFlight, maxInFlightBytes })
  const client = new KafkaClient(options)
  const owners = new WeakMap<Origin, Partition>()
  const ended = new AbortController()
  const troubles = new Map<string, Retrying>()
  const persistence = new Persistence(log, ended.signal, troubles)
  const probe = new Probe(options)
  const last: { delivery?: number; commit?: number } = {}
  let current: KafkaSource | undefined
  let complete: (() => void) | undefined
  let stopped = false
  const deliveryTurn = turns()

  return { source, sink, stop, close, status }

  function source<T>(topic: string, schema: Schema<T>): Observable<Message<T>> {
    return new Observable(subscriber => {
      if (ended.signal.aborted) throw new TransportError(`topic "${topic}": the transport is closed`)
      if (stopped) return subscriber.complete()
      const former = current
      const decode = decoder(codec, topic, schema)
      const hooks = {
        deliver: (partition: Partition, records: Iterable<InRecord>) => deliver(partition, records, decode, subscriber),
        forget: ({ place }: Partition) => inFlight.forget(place.topic, place.partition),
        committed: () => void (last.commit = Date.now()),
        fail: (error: unknown) => subscriber.error(error),
      }
      const started = new KafkaSource(client, topic, group, hooks, log, troubles)
      if (former?.drained === false)
        throw new TransportError(`topic "${former.topic}" has a source already, expected one: share it`)
      current = started
      complete = () => subscriber.complete()
      // What a former source left open is read again.
      void (former?.close() ?? Promise.resolve()).then(() => started.start())
      return () => started.drain()
    })
  }

  /** In runs, the partitions in turn: a window of few partitions has few transactions. */
  async function deliver<T>(
    partition: Partition,
    records: Iterable<InRecord>,
    decode: (record: RawRecord) => Promise<T>,
    subscriber: Subscriber<Message<T>>,
  ): Promise<void> {
    for (const some of runsOf(records, RUN_LENGTH)) {
      if (!partition.live) return
      // Before its turn, so that a codec that is out of reach holds up no other partition.
      const run = await decodeRun(partition, some, decode)
      await deliveryTurn(() => deliverRun(partition, run, subscriber))
    }
  }

  /** The values, or why there are none. One loop for all, for an asynchronous function costs more than most records. */
  async function decodeRun<T>(
    { name, place: { topic, partition } }: Partition,
    records: readonly InRecord[],
    decode: (record: RawRecord) => Promise<T>,
  ): Promise<readonly Decoded<T>[]> {
    const run: Decoded<T>[] = []
    for (const record of records) {
      const { offset, timestamp } = record
      const origin = { topic, partition, offset, timestamp }
      const done = run.length
      for (let count = 0; run.length === done; count++)
        try {
          run.push({ origin, record, value: await decode(record) })
          if (count > 0) persistence.over(`${name} offset ${offset}`)
        } catch (error) {
          if (error instanceof SchemaError && deadLetters !== undefined) run.push({ origin, record, error })
          else await persistence.wait(`${name} offset ${offset}`, error, count)
        }
    }
    return run
  }

  async function deliverRun<T>(
    partition: Partition,
    run: readonly Decoded<T>[],
    subscriber: Subscriber<Message<T>>,
  ): Promise<void> {
    for (const one of run) {
      const { origin, record } = one
      owners.set(origin, partition)
      if (!partition.live || !(await inFlight.enter(origin, sizeOf(record), { record, outputs: [] }))) return
      if (!partition.live || subscriber.closed || stopped) return
      last.delivery = Date.now()
      const { key, headers } = record
      const receivedAt = performance.now()
      if ('value' in one) subscriber.next({ origin, key, headers, receivedAt, value: one.value })
      else {
        const { code, message: reason } = one.error
        const message = { origin, key, headers, receivedAt, value: undefined }
        await current?.commits.commit(shares([{ message, stage: 'decode', code, reason }]))
      }
    }
  }

  function sink<T>(topic: string, schema: Schema<T>): Sink<T> {
    const serde = codec(topic, schema)
    const inTurn = turns()
    return {
      async settle(done, failed) {
        const encoded: (Outcome | Failed)[] = []
        // While others are written. What fails is told of, and tried again, in its turn.
        let attempt: Promise<void> | undefined = encode(done, encoded)
        attempt.catch(() => {})
        const begun = await inTurn(async () => {
          await persistence.until(`topic "${topic}"`, async () => {
            const encoding = attempt ?? encode(done, encoded)
            attempt = undefined
            await encoding
          })
          if (ended.signal.aborted)
            throw new TransportError(`topic "${topic}": the transport is closed, and nothing was written`)
          // A partition writes one share after the other by itself. In an object, so that the turn does not wait for it.
          return { commit: current?.commits.commit(shares([...encoded, ...failed])) }
        })
        await begun.commit
      },
    }

    /** Goes on where `encoded` ends. One loop for all: an asynchronous function for each would cost more than most of them. */
    async function encode(done: readonly Settled<T>[], encoded: (Outcome | Failed)[]): Promise<void> {
      for (const { value, message } of done.slice(encoded.length))
        try {
          const { key, headers } = message
          encoded.push({ message, record: { topic, key, headers, value: await serde.encode(value) } })
        } catch (error) {
          if (!(error instanceof SchemaError)) throw error
          // It would not fit the next time either, and costs only itself.
          encoded.push({ message, stage: 'publish', code: error.code, reason: error.message })
        }
    }
  }

  /**
   * Ends events, and gathers by partition what is to be written: what no open event precedes. Where events are settled out of
   * turn, the later ones wait for the earlier. Events whose partition was lost on the way are somebody else's, and left out.
   */
  function shares(outcomes: readonly (Outcome | Failed)[]): ReadonlyMap<Partition, Share> {
    // All of them first: this throws, and nothing has ended then.
    const ending = outcomes.flatMap(outcome => {
      const { origin } = outcome.message
      const owner = owners.get(origin)
      if (owner?.live === false) return []
      const kept = inFlight.kept(origin)
      // What is open has an owner.
      if (owner === undefined) return []
      return { owner, origin, kept, output: 'record' in outcome ? outcome.record : dead(outcome, kept.record) }
    })
    const settled = new Map<Partition, (readonly [Origin, Kept])[]>()
    for (const { owner, origin, kept, output } of ending) {
      kept.outputs.push(output)
      const events = settled.get(owner)
      if (events === undefined) settled.set(owner, [[origin, kept]])
      else events.push([origin, kept])
    }
    const found = new Map<Partition, Share>()
    for (const [owner, events] of settled) {
      const { positions, parked } = inFlight.parkAll(events)
      const [position] = positions
      if (position === undefined || parked.length === 0) continue
      found.set(owner, { records: parked.flatMap(({ outputs }) => outputs), next: position.next })
    }
    return found
  }

  function dead(failed: Failed, original: RawRecord): OutRecord {
    const { topic, partition, offset } = failed.message.origin
    if (deadLetters === undefined)
      throw new TransportError(
        `topic "${topic}" partition ${partition} offset ${offset} failed in ${failed.stage} (${failed.code}: ${failed.reason}) and there is no topic for dead letters`,
      )
    return { topic: deadLetters, ...deadLetter(failed, original) }
  }

  async function stop(): Promise<void> {
    halt()
    // Before the end, so that whoever waits for it repeats nothing; later windows wait for their own.
    await current?.commits.followed()
    complete?.()
  }

  /** Nothing more is read. */
  function halt(): void {
    stopped = true
    inFlight.close()
    current?.drain()
  }

  async function close(): Promise<void> {
    halt()
    complete?.()
    ended.abort()
    await Promise.all([current?.close(), probe.close()])
  }

  async function status(): Promise<TransportStatus> {
    const nothing = new Map<number, bigint>()
    const ends = current === undefined ? nothing : await probe.ends(current.topic)
    const known = typeof ends === 'string' ? nothing : ends
    return {
      joined: current?.joined ?? false,
      partitions: current === undefined ? [] : partitionsOf(current, inFlight, known),
      inFlight: { events: inFlight.events, bytes: inFlight.bytes },
      retrying: [...troubles.values()],
      ...(last.delivery !== undefined && { lastDelivery: last.delivery }),
      ...(last.commit !== undefined && { lastCommit: last.commit }),
      ...(typeof ends === 'string' && { unreachable: ends }),
    }
  }
}

/** Throws ConfigError for what the cluster would refuse, or wait for. */
function groupOptions(options: KafkaOptions): GroupOptions {
  const { group, brokers, delivery = 'exactly-once', from = 'earliest', onOutOfRange = 'fail' } = options
  const { sessionTimeoutMs = 10_000 } = options
  if (group === '') throw new ConfigError('group is empty, expected the name of a consumer group')
  if (brokers.length === 0 || !brokers.every(isBroker))
    throw new ConfigError(`brokers is "${brokers.join(',')}", expected host:port for each`)
  if (!Number.isSafeInteger(sessionTimeoutMs) || sessionTimeoutMs < 1000)
    throw new ConfigError(`sessionTimeoutMs is ${sessionTimeoutMs}, expected an integer from 1000`)
  return { group, delivery, from, onOutOfRange, sessionTimeoutMs }
}
