import { setTimeout } from 'node:timers/promises'
import { isConcurrent } from './kafka-errors.ts'
import { byTopic, type NewBatch, type OutRecord } from './kafka-records.ts'

/** The one before it ends within milliseconds, unless brokers are away; then it is for the writer's owner to try again. */
const MAX_BEGINNINGS = 20
const FIRST_WAIT_MS = 2
const MAX_WAIT_MS = 200
/** A broker that does not answer must not hold up the next attempt, which ends the transaction as well. */
const ABORT_TIMEOUT_MS = 1000

/** What is used of kafkajs's producer. */
type Producer = {
  transaction(): Promise<{
    sendBatch(batch: { topicMessages: NewBatch[] }): Promise<unknown>
    sendOffsets(offsets: {
      consumerGroupId: string
      topics: { topic: string; partitions: { partition: number; offset: string }[] }[]
    }): Promise<void>
    commit(): Promise<void>
    abort(): Promise<void>
  }>
}

/** How far a transaction brings an input partition. */
type Advance = { readonly topic: string; readonly partition: number; readonly next: bigint }

/**
 * Fences every other writer of the producer's id. Then has the group's coordinator note a position, and takes it back: a broker
 * that was asleep, and still thinks that it is the coordinator, cannot note one, for the other brokers have to agree.
 */
export async function claim(producer: Producer, group: string, place: Omit<Advance, 'next'>): Promise<void> {
  const transaction = await producer.transaction()
  await begin(() => transaction.sendOffsets(offsetsOf(group, { ...place, next: 0n })))
  await transaction.abort()
}

/**
 * Writes records and a position, all or nothing. Its producer must not try again to send: kafkajs sends to several brokers at once,
 * and when one of them fails, it sends anew to those that have not answered yet or that have become leaders meanwhile; what they
 * have already is doubled within the transaction. After an error, the producer is unusable and the whole is to be tried again;
 * `failed` is called before the transaction is aborted.
 */
export async function writeTransaction(
  producer: Producer,
  records: readonly OutRecord[],
  group: string,
  advance: Advance,
  failed: () => void,
): Promise<void> {
  const transaction = await producer.transaction()
  try {
    // Before the records: this is what can be repeated while the transaction before it is ending.
    await begin(() => transaction.sendOffsets(offsetsOf(group, advance)))
    if (records.length > 0) await transaction.sendBatch({ topicMessages: byTopic(records) })
  } catch (error) {
    failed()
    // Readers would wait for it until somebody else writes for this partition, or it times out.
    await Promise.race([transaction.abort().catch(() => {}), setTimeout(ABORT_TIMEOUT_MS, undefined, { ref: false })])
    throw error
  }
  await transaction.commit()
}

function offsetsOf(group: string, { topic, partition, next }: Advance) {
  return { consumerGroupId: group, topics: [{ topic, partitions: [{ partition, offset: String(next) }] }] }
}

/** The end of a transaction is answered before it is done, and the next one is refused until then. */
async function begin(attempt: () => Promise<void>): Promise<void> {
  for (let count = 1, ms = FIRST_WAIT_MS; ; count++, ms = Math.min(2 * ms, MAX_WAIT_MS))
    try {
      return await attempt()
    } catch (error) {
      if (count === MAX_BEGINNINGS || !isConcurrent(error)) throw error
      await setTimeout(ms)
    }
}
