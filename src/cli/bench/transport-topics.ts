import { randomBytes } from 'node:crypto'
import { StageError } from '../../errors.ts'
import type { Codec, RawRecord, Schema } from '../../ports.ts'
import { schemas } from '../../schemas.ts'
import { openKafka, type ConnectOptions } from '../../transport/kafka-client.ts'
import { toMessage } from '../../transport/kafka-records.ts'
import { clusterFromEnvironment, codecOf } from '../kafka-environment.ts'
import { sentences } from './sentences.ts'

/** Records of one request while a topic is filled: below every broker's limit. */
const FILL_RECORDS = 2048
/** A window that was not answered by then is lost. */
const READ_TIMEOUT_MS = 30_000
/** Texts that prompts take in turn. */
const TEXTS = 1000

/** An input and an output topic of this bench's own, on the cluster that the environment names. */
export type Cluster = {
  readonly connect: ConnectOptions
  readonly kafka: Awaited<ReturnType<typeof openKafka>>
  /** The registry's where the environment names one, else plain Avro; `codecName` says which. */
  readonly codec: Codec
  readonly codecName: 'registry' | 'avro'
  readonly partitions: number
  /** Fresh topics with the same number of partitions. */
  topics(): Promise<Pair>
  /** A name that no group or transactional id had before. */
  fresh(name: string): string
  /** Deletes the topics, and closes what is open. */
  close(): Promise<void>
}

export type Pair = { readonly prompts: string; readonly completions: string }

/** Opens the cluster that the environment names. Throws ConfigError where it names none. */
export async function openCluster(partitions: number): Promise<Cluster> {
  const connect = clusterFromEnvironment()
  const codecName = (process.env['SCHEMA_REGISTRY_URL'] ?? '') === '' ? 'avro' : 'registry'
  const inner = codecOf(codecName)
  const kafka = await openKafka(connect)
  const admin = kafka.admin()
  await admin.connect()
  const prefix = `lorastream-bench-${randomBytes(4).toString('hex')}`
  const made: string[] = []
  let count = 0

  return {
    connect,
    kafka,
    codecName,
    // The subjects of a deployment, so that nothing of this bench's own stays in the registry.
    codec: <T>(_: string, schema: Schema<T>) =>
      inner(schema.name === schemas.prompt.name ? 'prompts' : 'completions', schema),
    partitions,
    fresh: name => `${prefix}-${name}-${(count += 1)}`,
    async topics() {
      count += 1
      const pair = { prompts: `${prefix}-${count}-prompts`, completions: `${prefix}-${count}-completions` }
      const topics = Object.values(pair)
      await admin.createTopics({
        waitForLeaders: true,
        topics: topics.map(topic => ({ topic, numPartitions: partitions })),
      })
      made.push(...topics)
      return pair
    },
    async close() {
      try {
        if (made.length > 0) await admin.deleteTopics({ topics: made })
      } finally {
        await admin.disconnect()
      }
    },
  }
}

/** Prompts as records: those of one window have one key. */
export async function promptRecords(codec: Codec, windows: number, size: number): Promise<readonly RawRecord[][]> {
  const serde = codec('prompts', schemas.prompt)
  const texts = sentences(0, TEXTS)
  const values = await Promise.all(texts.map(text => serde.encode({ text, maxTokens: 32 })))
  return Array.from({ length: windows }, (_window, window) => {
    const key = Buffer.from(String(window))
    return Array.from({ length: size }, (_row, row) => ({
      key,
      value: values[(window * size + row) % TEXTS] ?? null,
      headers: [],
    }))
  })
}

/** Puts windows on a topic, the partitions in turn, as fast as it goes. */
export async function fill(
  { kafka, partitions }: Cluster,
  topic: string,
  windows: readonly RawRecord[][],
): Promise<void> {
  const producer = kafka.producer()
  await producer.connect()
  try {
    const placed = windows.flatMap((records, window) =>
      records.map(record => ({ ...toMessage(record), partition: window % partitions })),
    )
    for (let at = 0; at < placed.length; at += FILL_RECORDS)
      await producer.send({ topic, messages: placed.slice(at, at + FILL_RECORDS) })
  } finally {
    await producer.disconnect()
  }
}

/** How long windows took from before they were produced until the last of their completions was read, in ms. */
export async function paced(
  { kafka, partitions }: Cluster,
  { prompts, completions }: Pair,
  windows: readonly RawRecord[][],
  { warmUp, everyMs, signal }: { readonly warmUp: number; readonly everyMs: number; readonly signal: AbortSignal },
): Promise<readonly number[]> {
  const producer = kafka.producer()
  const reader = kafka.consumer({ groupId: `${completions}-reader`, maxWaitTimeInMs: 100 })
  const sentAt: number[] = []
  const left = windows.map(({ length }) => length)
  const waiting = new Map<number, (ms: number) => void>()
  const arrive = (window: number): void => {
    left[window] = (left[window] ?? 0) - 1
    if (left[window] === 0) waiting.get(window)?.(performance.now() - (sentAt[window] ?? Number.NaN))
  }
  const send = async (window: number): Promise<number> => {
    const answered = new Promise<number>(resolve => waiting.set(window, resolve))
    const messages = (windows[window] ?? []).map(record => ({ ...toMessage(record), partition: window % partitions }))
    sentAt[window] = performance.now()
    await producer.send({ topic: prompts, messages })
    return await within(answered, `window ${window}`)
  }
  await Promise.all([producer.connect(), reader.connect()])
  try {
    await reader.subscribe({ topics: [completions], fromBeginning: true })
    await reader.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        for (const { key } of batch.messages) arrive(Number(String(key)))
      },
    })
    // Until everybody has joined, knows the leaders and is compiled.
    for (let window = 0; window < warmUp; window += 1) {
      signal.throwIfAborted()
      await send(window)
    }
    const started = performance.now()
    const all: Promise<number>[] = []
    for (let window = warmUp; window < windows.length; window += 1) {
      const wait = started + (window - warmUp) * everyMs - performance.now()
      if (wait > 0) await new Promise(resolve => setTimeout(resolve, wait))
      signal.throwIfAborted()
      const answered = send(window)
      // Whoever waits for all of them hears of it.
      answered.catch(() => {})
      all.push(answered)
    }
    return await Promise.all(all)
  } finally {
    await Promise.all([producer.disconnect(), reader.disconnect()])
  }
}

async function within<T>(answer: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const error = new StageError(`${what} was not answered within ${READ_TIMEOUT_MS / 1000} s`)
    timer = setTimeout(() => reject(error), READ_TIMEOUT_MS)
  })
  return await Promise.race([answer, late]).finally(() => clearTimeout(timer))
}
