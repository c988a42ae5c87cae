import { setTimeout } from 'node:timers/promises'
import type { PartitionStatus } from '../ports.ts'
import type { InFlight } from './in-flight.ts'
import { closed, openKafka, type ConnectOptions } from './kafka-client.ts'
import { reasonOf } from './kafka-errors.ts'
import { Sockets } from './kafka-sockets.ts'
import type { KafkaSource } from './kafka-source.ts'

/** A broker answers in milliseconds; whoever asks how we are must not wait for one that does not. */
const ANSWER_TIMEOUT_MS = 3_000

type Ends = ReadonlyMap<number, bigint>
type Admin = { ends(topic: string): Promise<Ends>; close(): Promise<void> }

/** Asks the cluster where topics end, over one connection that is made when it is first needed and made anew after an error. */
export class Probe {
  readonly #options: ConnectOptions
  #admin: Promise<Admin> | undefined
  #closed = false

  constructor(options: ConnectOptions) {
    this.#options = options
  }

  /** Where each partition ends for a reader of committed records, or why that cannot be learned within 3 s. */
  async ends(topic: string): Promise<Ends | string> {
    if (this.#closed) return 'the transport is closed'
    const over = new AbortController()
    try {
      this.#admin ??= connect(this.#options)
      const late = setTimeout(ANSWER_TIMEOUT_MS, `no answer within ${ANSWER_TIMEOUT_MS} ms`, { signal: over.signal })
      const found = await Promise.race([late, this.#admin.then(async admin => await admin.ends(topic))])
      if (typeof found === 'string') await this.#drop()
      return found
    } catch (error) {
      await this.#drop()
      return reasonOf(error)
    } finally {
      over.abort()
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#drop()
  }

  async #drop(): Promise<void> {
    const admin = this.#admin
    this.#admin = undefined
    // Whether it ever connects is nobody's concern any more.
    void admin?.then(async one => await one.close()).catch(() => {})
  }
}

async function connect(options: ConnectOptions): Promise<Admin> {
  const sockets = new Sockets()
  const admin = (await openKafka(options, sockets)).admin({ retry: { retries: 1 } })
  try {
    await admin.connect()
  } catch (error) {
    await closed(admin, sockets)
    throw error
  }
  return {
    // kafkajs asks for the last stable offset, as its consumers do.
    ends: async topic =>
      new Map((await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [partition, BigInt(high)])),
    close: async () => await closed(admin, sockets),
  }
}

/** A source's partitions as they are shown. Offsets are shown as numbers: none reaches 2^53. */
export function partitionsOf(
  { topic, reading }: Pick<KafkaSource, 'topic' | 'reading'>,
  inFlight: Pick<InFlight<unknown>, 'open'>,
  ends: Ends,
): readonly PartitionStatus[] {
  return reading.map(({ partition, waiting, read, committed }) => {
    const open = Math.max(inFlight.open(topic, partition), waiting ? 1 : 0)
    const end = ends.get(partition)
    const from = open > 0 ? committed : read
    return {
      topic,
      partition,
      open,
      ...(committed !== undefined && { position: Number(committed) }),
      ...(read !== undefined && { read: Number(read) }),
      ...(end !== undefined && { end: Number(end) }),
      ...(end !== undefined && from !== undefined && { lag: Math.max(0, Number(end - from)) }),
    }
  })
}
