import type { Kafka, KafkaMessage, SASLOptions } from 'kafkajs'
import type { ConnectionOptions } from 'node:tls'
import { mendAbortedRecords } from './kafka-aborted.ts'
import { whoAnswers } from './kafka-answers.ts'
import { rememberCoordinators } from './kafka-coordinators.ts'
import { byTopic, recordsFrom, type InRecord, type OutRecord } from './kafka-records.ts'
import { oauthBearer } from './kafka-oauth.ts'
import { Sockets } from './kafka-sockets.ts'
import { claim, writeTransaction } from './kafka-transaction.ts'

/** An empty fetch waits as long at the broker; a partition that is resumed waits as long for its first fetch. */
const FETCH_WAIT_MS = 100
/** kafkajs's own retries end after about two seconds; longer trouble is retried, and told of, a level above. */
const RETRY = { initialRetryTime: 5, maxRetryTime: 500, retries: 10 }
/**
 * For producers. kafkajs sends to several brokers at once, and when one of them fails, it sends anew by what is known of leaders
 * then: to those that have not answered. What has moved to a broker that had answered already is not sent at all, and it says that
 * all is well; what has moved the other way is sent twice. So whoever writes sends the whole again, with a new producer.
 */
const ONCE = { ...RETRY, retries: 0 }
/** A crashed writer's open transaction holds readers of committed records up for no longer. */
const TRANSACTION_TIMEOUT_MS = 60_000

export type ConnectOptions = {
  /** `host:port`, some of the cluster. */
  readonly brokers: readonly string[]
  readonly clientId?: string
  /** TLS: `true`, or what `tls.connect` takes (`ca`, and `cert` and `key` for mutual TLS). */
  readonly ssl?: boolean | ConnectionOptions
  readonly sasl?: SASLOptions
}

/** Whether it says where a broker is: `host:port`. */
export function isBroker(broker: string): boolean {
  return /^[^\s,]+:\d+$/.test(broker)
}

export type Place = { readonly topic: string; readonly partition: number }

/** Where a group is in a partition, and what the broker has of it. */
export type Position = {
  readonly committed: bigint | undefined
  readonly low: bigint
  readonly high: bigint
  /** The broker that said `committed`. */
  readonly coordinator: string | undefined
}

/** Records of one fetch: all that is visible of a partition from `from` to `last`. */
export type Batch = {
  readonly partition: number
  readonly from: bigint
  readonly last: bigint
  /** Those from an offset on, each made when it is asked for: a batch holds thousands, of which few are in flight. */
  readonly records: (next: bigint) => Iterable<InRecord>
  /** Taken over: the next fetch goes on behind it. */
  readonly resolve: () => void
}

export type MemberHandlers = {
  /** Called within the join, before anything is fetched. */
  readonly joined: (partitions: readonly number[]) => void
  readonly batch: (batch: Batch) => Promise<void>
  /** What was fetched up to here holds no record for us, only marks of transactions or what they aborted. */
  readonly skipped: (partition: number, next: bigint) => void
  readonly crashed: (error: unknown) => void
}

/** One consumer in its group. Where it does not run, the first three do nothing, and commits are refused. */
export type Member = {
  pause(partition: number): void
  resume(partition: number): void
  seek(partition: number, offset: bigint): void
  /** Commits the next offset to read of each partition, in one request. */
  commit(positions: ReadonlyMap<number, bigint>): Promise<void>
  /** Joins the group. What fails afterwards is told to `crashed`, and it has left the group then. */
  start(): Promise<void>
  close(): Promise<void>
}

/** Writes records, in transactions together with the position that they bring a partition to. Unusable after an error. */
export type Writer = {
  /** In transactions, the broker that keeps the group's positions; it has proved so to this writer, which has fenced all others. */
  readonly coordinator: string | undefined
  write(records: readonly OutRecord[], next: bigint): Promise<void>
  close(): Promise<void>
}

/** The read position is outside of what the broker has. kafkajs would go on elsewhere, and commit that, without a word. */
class OutOfRange extends Error {
  readonly retriable = false
  override readonly name = 'OffsetOutOfRange'
}

/** What the transport needs of kafkajs. Errors are kafkajs's own. */
export class KafkaClient {
  readonly #options: ConnectOptions

  constructor(options: ConnectOptions) {
    this.#options = options
  }

  /** A consumer of one topic. */
  async member(
    group: string,
    topic: string,
    sessionTimeoutMs: number,
    { joined, batch, skipped, crashed }: MemberHandlers,
  ): Promise<Member> {
    const sockets = new Sockets()
    const kafka = await openKafka(this.#options, sockets)
    const consumer = kafka.consumer({
      groupId: group,
      sessionTimeout: sessionTimeoutMs,
      heartbeatInterval: Math.ceil(sessionTimeoutMs / 10),
      maxWaitTimeInMs: FETCH_WAIT_MS,
      retry: { ...RETRY, restartOnFailure: async () => false },
    })
    consumer.on('consumer.group_join', ({ payload }) => joined(payload.memberAssignment[topic] ?? []))
    consumer.on('consumer.end_batch_process', ({ payload }) => {
      if (payload.batchSize === 0) skipped(payload.partition, BigInt(payload.lastOffset) + 1n)
    })
    consumer.on('consumer.crash', ({ payload }) => crashed(payload.error))
    let commits = 0
    consumer.on('consumer.commit_offsets', () => commits++)
    const at = (partition: number) => [{ topic, partitions: [partition] }]
    return {
      pause: partition => whileRunning(() => consumer.pause(at(partition))),
      resume: partition => whileRunning(() => consumer.resume(at(partition))),
      seek: (partition, offset) => whileRunning(() => consumer.seek({ topic, partition, offset: String(offset) })),
      async commit(positions) {
        const before = commits
        await consumer.commitOffsets(
          [...positions].map(([partition, next]) => ({ topic, partition, offset: String(next) })),
        )
        // A consumer that does not run any more does nothing, and does not say so.
        if (commits === before) throw new Error('the consumer does not run, and has committed nothing')
      },
      close: async () => await closed(consumer, sockets),
      async start() {
        await consumer.connect()
        await consumer.subscribe({ topics: [topic], fromBeginning: true })
        await consumer.run({
          autoCommit: false,
          eachBatchAutoResolve: false,
          // A partition that waits must not hold up the others.
          partitionsConsumedConcurrently: 16,
          eachBatch: async payload => {
            const last = payload.batch.messages.at(-1)
            if (last !== undefined) await batch(toBatch(payload.batch, () => payload.resolveOffset(last.offset)))
          },
        })
      },
    }
  }

  /**
   * A writer for what comes of one input partition. For a group whose positions it commits, it fences every other such writer,
   * waits until their transactions are over, and writes in transactions; else it writes records alone.
   */
  async writer({ topic, partition }: Place, group: string | undefined): Promise<Writer> {
    const sockets = new Sockets()
    const kafka = await openKafka(this.#options, sockets)
    const coordinators = group === undefined ? undefined : rememberCoordinators(kafka)
    const { Partitioners } = await import('kafkajs')
    const producer = kafka.producer({
      // kafkajs writes transactions idempotently by itself; where nothing is sent again, there is nothing else to know again.
      ...(group !== undefined && {
        transactionalId: `${group}/${topic}/${partition}`,
        transactionTimeout: TRANSACTION_TIMEOUT_MS,
      }),
      retry: ONCE,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: () => {
        const byKey = Partitioners.DefaultPartitioner()
        // Without a key, order is kept by staying in one partition.
        return args => (args.message.key == null ? partition % args.partitionMetadata.length : byKey(args))
      },
    })
    const coordinator = whoAnswers('TxnOffsetCommit', heard => producer.on('producer.network.request', heard))
    try {
      await producer.connect()
      if (group !== undefined) await claim(producer, group, { topic, partition })
      coordinators?.remember()
    } catch (error) {
      await closed(producer, sockets)
      throw error
    }
    return {
      coordinator: group === undefined ? undefined : coordinator.broker,
      async write(records, next) {
        if (group !== undefined)
          await writeTransaction(producer, records, group, { topic, partition, next }, () => coordinators?.forget())
        else if (records.length > 0) await producer.sendBatch({ topicMessages: byTopic(records) })
      },
      close: async () => await closed(producer, sockets),
    }
  }

  /** Asks the group's coordinator and the partition's leader anew. */
  async position(group: string, { topic, partition }: Place): Promise<Position> {
    const sockets = new Sockets()
    const admin = (await openKafka(this.#options, sockets)).admin({ retry: RETRY })
    const coordinator = whoAnswers('OffsetFetch', heard => admin.on('admin.network.request', heard))
    try {
      await admin.connect()
      const [offsets] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
      const committed = offsets?.partitions.find(one => one.partition === partition)?.offset ?? '-1'
      const range = (await admin.fetchTopicOffsets(topic)).find(one => one.partition === partition)
      if (range === undefined) throw new Error(`topic "${topic}" has no partition ${partition}`)
      return {
        committed: committed.startsWith('-') ? undefined : BigInt(committed),
        low: BigInt(range.low),
        high: BigInt(range.high),
        coordinator: coordinator.broker,
      }
    } finally {
      await closed(admin, sockets)
    }
  }
}

/** Disconnects, and leaves no socket behind. */
export async function closed(client: { disconnect(): Promise<void> }, sockets: Sockets): Promise<void> {
  await client.disconnect().catch(() => {})
  sockets.close()
}

/** kafkajs's own client, with our retries and silence. It is loaded on first use: a topology in memory does without. */
export async function openKafka(
  { brokers, clientId = 'lorastream', ssl, sasl }: ConnectOptions,
  sockets?: Sockets,
): Promise<Kafka> {
  const { Kafka: Client, logLevel } = await import('kafkajs')
  mendAbortedRecords()
  return new Client({
    brokers: [...brokers],
    clientId,
    retry: RETRY,
    // Each error is told of where it is met; this is the one place where kafkajs would act on one by itself.
    logLevel: logLevel.ERROR,
    logCreator: () => entry => {
      if (entry.log.message.startsWith('Offset out of range, resetting'))
        throw new OutOfRange(`the position in topic "${entry.log['topic']}" is not there any more`)
    },
    ...(ssl !== undefined && { ssl }),
    ...(sasl !== undefined && { sasl: 'oauthBearerProvider' in sasl ? oauthBearer(sasl.oauthBearerProvider) : sasl }),
    ...(sockets !== undefined && { socketFactory: sockets.factory }),
  })
}

/** kafkajs throws where the consumer does not run; the next join begins anew. */
function whileRunning(act: () => void): void {
  try {
    act()
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('Consumer group was not initialized'))) throw error
  }
}

type KafkaBatch = {
  readonly partition: number
  readonly messages: readonly KafkaMessage[]
  lastOffset(): string
}

function toBatch(batch: KafkaBatch, resolve: () => void): Batch {
  return {
    partition: batch.partition,
    from: fetchedOffset(batch),
    last: BigInt(batch.lastOffset()),
    resolve,
    records: next => recordsFrom(batch.messages, next),
  }
}

/** Where the fetch began: kafkajs has it, its types do not. */
function fetchedOffset(batch: object): bigint {
  if ('fetchedOffset' in batch && typeof batch.fetchedOffset === 'string') return BigInt(batch.fetchedOffset)
  throw new Error('kafkajs: a batch has no fetchedOffset, expected 2.2.4')
}
