import { randomUUID } from 'node:crypto'
import { AssignerProtocol, Kafka, logLevel, type Admin } from 'kafkajs'
import { eventually } from '../../infra/java.ts'
import type { Headers } from '../../src/events.ts'
import type { RawRecord } from '../../src/ports.ts'
import { mendAbortedRecords } from '../../src/transport/kafka-aborted.ts'

/** A record as a reader of committed records sees it. */
export type ReadRecord = RawRecord & { readonly partition: number; readonly offset: bigint; readonly timestamp: number }

/** What a test needs of a cluster beside the transport. */
export type Topics = {
  readonly admin: Admin
  /** Replicated as often as given, by default once. */
  create(topics: readonly string[], partitions: number, replicas?: number): Promise<void>
  remove(topics: readonly string[]): Promise<void>
  /** The broker that leads a partition, the partitions counted round. */
  leader(topic: string, partition: number): Promise<number | undefined>
  /** How many partitions each member of a group has, in rising order; none while the group is changing. */
  shares(group: string): Promise<readonly number[]>
  /** Where a group is in each partition that it has committed. */
  positions(group: string, topic: string): Promise<ReadonlyMap<number, bigint>>
  /** How many records the group has passed, of how many. */
  progress(group: string, topic: string): Promise<{ readonly passed: number; readonly all: number }>
  /** Deletes what a topic holds; offsets go on. */
  empty(topic: string): Promise<void>
  /** As retention does it. */
  deleteBefore(topic: string, partition: number, offset: number): Promise<void>
  append(topic: string, records: readonly RawRecord[], partition?: number): Promise<void>
  /** Every committed record, partition by partition. Throws when they cannot be read within a minute. */
  records(topic: string): Promise<readonly ReadRecord[]>
  close(): Promise<void>
}

const READ_TIMEOUT_MS = 60_000
const LEADER_TIMEOUT_MS = 30_000
/** The key of records that are there for readers to wait for. */
const barrier = '__barrier-'

export async function openTopics(brokers: readonly string[]): Promise<Topics> {
  mendAbortedRecords()
  const kafka = new Kafka({ brokers: [...brokers], clientId: 'test', logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  const producer = kafka.producer({
    createPartitioner:
      () =>
      ({ message }) =>
        message.partition ?? 0,
  })
  await Promise.all([admin.connect(), producer.connect()])
  return { admin, create, remove, leader, shares, positions, progress, empty, deleteBefore, append, records, close }

  async function create(topics: readonly string[], partitions: number, replicas = 1): Promise<void> {
    await admin.createTopics({
      waitForLeaders: true,
      topics: topics.map(topic => ({ topic, numPartitions: partitions, replicationFactor: replicas })),
    })
  }

  async function remove(names: readonly string[]): Promise<void> {
    await admin.deleteTopics({ topics: [...names] })
  }

  async function leader(topic: string, partition: number): Promise<number | undefined> {
    const [found] = (await admin.fetchTopicMetadata({ topics: [topic] })).topics
    return found?.partitions.find(({ partitionId }) => partitionId === partition % found.partitions.length)?.leader
  }

  async function shares(group: string): Promise<readonly number[]> {
    const [found] = (await admin.describeGroups([group])).groups
    if (found?.state !== 'Stable') return []
    return found.members
      .map(({ memberAssignment }) => AssignerProtocol.MemberAssignment.decode(memberAssignment)?.assignment ?? {})
      .map(assignment => Object.values(assignment).flat().length)
      .toSorted((a, b) => a - b)
  }

  async function positions(group: string, topic: string): Promise<ReadonlyMap<number, bigint>> {
    const [found] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
    const known = (found?.partitions ?? []).filter(({ offset }) => !offset.startsWith('-'))
    return new Map(known.map(({ partition, offset }) => [partition, BigInt(offset)]))
  }

  async function progress(group: string, topic: string): Promise<{ readonly passed: number; readonly all: number }> {
    const ends = await admin.fetchTopicOffsets(topic)
    const sum = (offsets: Iterable<bigint>): number => Number([...offsets].reduce((total, one) => total + one, 0n))
    const passed = sum((await positions(group, topic)).values())
    return { passed, all: sum(ends.map(({ high }) => BigInt(high))) }
  }

  async function empty(topic: string): Promise<void> {
    // A leader that was just chosen may not know it yet.
    await eventually(LEADER_TIMEOUT_MS, async () => {
      const partitions = (await admin.fetchTopicOffsets(topic)).filter(({ low, high }) => low !== high)
      if (partitions.length > 0) await admin.deleteTopicRecords({ topic, partitions })
    })
  }

  async function deleteBefore(topic: string, partition: number, offset: number): Promise<void> {
    // kafkajs finds the leader of topics that it has seen.
    await admin.fetchTopicOffsets(topic)
    await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(offset) }] })
  }

  async function append(topic: string, values: readonly RawRecord[], partition = 0): Promise<void> {
    const messages = values.map(({ key, value, headers }) => ({
      partition,
      key: key === null ? null : Buffer.from(key),
      value: value === null ? null : Buffer.from(value),
      headers: grouped(headers),
    }))
    await producer.send({ topic, messages })
  }

  async function records(topic: string): Promise<readonly ReadRecord[]> {
    // A commit is answered before readers can see it; what stands behind it is seen when it is.
    const partitions = (await admin.fetchTopicOffsets(topic)).map(({ partition }) => partition)
    const mark = `${barrier}${randomUUID()}`
    await producer.send({ topic, messages: partitions.map(partition => ({ partition, key: mark, value: null })) })
    const left = new Set(partitions)
    // By place: a reader that loses its connection begins anew.
    const found = new Map<string, ReadRecord>()
    // A group of its own: kafkajs leaves a member without partitions where another of its group reads another topic.
    const consumer = kafka.consumer({ groupId: `reader-${randomUUID()}`, maxWaitTimeInMs: 20 })
    let ended: () => void = () => {}
    const all = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${topic} cannot be read to its end`)), READ_TIMEOUT_MS)
      ended = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch: { partition, messages } }) => {
        for (const { key, value, headers, offset, timestamp } of messages)
          if (key?.toString() === mark) left.delete(partition)
          else if (key?.toString().startsWith(barrier) !== true)
            found.set(`${partition}/${offset}`, {
              partition,
              key,
              value,
              offset: BigInt(offset),
              timestamp: Number(timestamp),
              headers: flat(headers ?? {}),
            })
        if (left.size === 0) ended()
      },
    })
    await all.finally(() => consumer.disconnect())
    return [...found.values()].toSorted((a, b) => a.partition - b.partition || Number(a.offset - b.offset))
  }

  async function close(): Promise<void> {
    await Promise.all([admin.disconnect(), producer.disconnect()])
  }
}

function grouped(headers: Headers): Record<string, Buffer[]> {
  const found: Record<string, Buffer[]> = {}
  for (const [name, value] of headers) (found[name] ??= []).push(Buffer.from(value))
  return found
}

function flat(headers: Readonly<Record<string, Buffer | string | (Buffer | string)[] | undefined>>): Headers {
  return Object.entries(headers).flatMap(([name, values]) =>
    (Array.isArray(values) ? values : [values ?? '']).map(value => [name, Buffer.from(value)] as const),
  )
}
