import { randomBytes } from 'node:crypto'
import { ConfigError, toErrorData, TransportError } from '../errors.ts'
import type { Prompt } from '../events.ts'
import { schemas } from '../schemas.ts'
import { openKafka } from '../transport/kafka-client.ts'
import { Sockets } from '../transport/kafka-sockets.ts'
import { Gatherer } from './demo-gather.ts'
import { loadInfra, type Infra, type Services } from './demo-infra.ts'
import { deadLetters, type Play, type Stage } from './demo-stage.ts'
import { clusterFromEnvironment, kafkaFromEnvironment, registryFromEnvironment } from './kafka-environment.ts'
import { dieOf, type Terminal } from './terminal.ts'

/** As many as `infra/topics.ts` makes. */
const partitions = 6

type Kafka = Awaited<ReturnType<typeof openKafka>>
type Undo = () => Promise<unknown>

/**
 * The demo as it runs in production: the main job's own transport, told by the environment where broker and registry are, and
 * around it what others do. Topics and schemas are made, prompts are produced, and completions are read by a consumer that
 * sees what is committed and nothing else. `close` removes all of it, and so does `signal`, at any time: it throws AbortError.
 * Throws ConfigError where no broker can be had, and where one is named that has topics of these names.
 */
export async function kafkaStage({ prompts, show }: Play, terminal: Terminal, signal: AbortSignal): Promise<Stage> {
  const undo: Undo[] = []
  try {
    return await open()
  } catch (error) {
    await close()
    // It may be just starting something, which ends with this process.
    if (signal.aborted) process.exit()
    throw error
  }

  async function open(): Promise<Stage> {
    const infra = await loadInfra()
    const services = await unlessAborted(findServices(infra, terminal), signal)
    undo.push(() => services.stop())
    const group = `lorastream-demo-${randomBytes(3).toString('hex')}`
    // What a deployment sets; the main job's own code reads it.
    Object.assign(process.env, {
      KAFKA_BROKERS: services.brokers.join(','),
      KAFKA_GROUP: group,
      KAFKA_DEAD_LETTERS: deadLetters,
      SCHEMA_REGISTRY_URL: services.registry,
    })
    const sockets = new Sockets()
    undo.push(async () => sockets.close())
    const kafka = await openKafka(clusterFromEnvironment(), sockets)
    await setUp(kafka, infra, services, group)
    signal.throwIfAborted()
    await produce(kafka, prompts)
    signal.throwIfAborted()
    terminal.note(`produced: ${prompts.length} prompts on "prompts", Avro with the schema's id in front, keyed by task`)

    const gatherer = new Gatherer(show)
    const answered = new AbortController()
    const reader = await follow(kafka, readerOf(group), gatherer, () => {
      if (gatherer.read >= prompts.length) answered.abort()
    })
    undo.push(() => reader.close())
    const transport = kafkaFromEnvironment()
    undo.push(() => transport.close())
    return {
      transport,
      about: `prompts come from Kafka, ${partitions} partitions; completions are read back as committed, exactly once`,
      answered: answered.signal,
      guard: play => unlessAborted(Promise.race([play, reader.failed]), signal),
      next: receipt => gatherer.receipt(receipt),
      async done() {
        signal.throwIfAborted()
        return await gatherer.shown()
      },
      async close() {
        await close()
        if (signal.aborted) dieOf(process.exitCode === 143 ? 'SIGTERM' : 'SIGINT')
      },
    }
  }

  /** Topics and schemas, and how they and the groups are removed. */
  async function setUp(kafka: Kafka, infra: Infra, { brokers, registry }: Services, group: string): Promise<void> {
    const admin = kafka.admin()
    await admin.connect().catch((error: unknown) => {
      throw new TransportError(`${brokers.join(',')}: no broker answers: ${toErrorData(error).message}`, {
        cause: error,
      })
    })
    undo.push(() => admin.disconnect())
    const there = await admin.listTopics()
    const taken = ['prompts', 'completions', deadLetters].filter(topic => there.includes(topic))
    if (taken.length > 0)
      throw new ConfigError(
        `${brokers.join(',')} has ${taken.join(', ')}, expected a cluster without: the demo makes topics of these names and removes them`,
      )
    const made = await infra.setUp(admin, registry, partitions).catch((error: unknown) => {
      throw new TransportError(`topics and schemas cannot be made: ${toErrorData(error).message}`, { cause: error })
    })
    undo.push(() => made.remove())
    undo.push(async () => {
      // A member that was just joining holds its group until its session ends; the broker then forgets it by itself.
      if (signal.aborted) return
      const groups = (await admin.listGroups()).groups.map(({ groupId }) => groupId)
      await admin.deleteGroups([group, readerOf(group)].filter(id => groups.includes(id)))
    })
    terminal.note(`created: topics ${made.topics.join(', ')}, ${partitions} partitions each, at ${brokers.join(',')}`)
    terminal.note(`registered: schemas ${made.subjects.join(', ')}, at ${registry}`)
  }

  /** Backwards, and all of it, whatever fails on the way. */
  async function close(): Promise<void> {
    if (undo.length > 0) terminal.note('\nremoving topics, schemas and groups of the demo, and what it started')
    for (let step = undo.pop(); step !== undefined; step = undo.pop())
      await step().catch((error: unknown) => terminal.note(`not removed: ${toErrorData(error).message}`))
  }
}

/** What `work` comes to, or AbortError as soon as the signal is aborted. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = new Promise<never>((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason))
  })
  return await Promise.race([work, aborted])
}

function readerOf(group: string): string {
  return `${group}-reader`
}

async function findServices(infra: Infra, terminal: Terminal): Promise<Services> {
  terminal.note('finding a broker and a registry; to start them takes some 15 s, to fetch them, once, minutes')
  const services = await infra.findServices(line => terminal.note(`  ${line}`))
  if ('missing' in services) throw new ConfigError(services.missing)
  return services
}

/** With the task as the key: prompts of a task keep their order. */
async function produce(kafka: Kafka, prompts: readonly Prompt[]): Promise<void> {
  const serde = registryFromEnvironment()('prompts', schemas.prompt)
  const producer = kafka.producer()
  await producer.connect()
  try {
    const messages = prompts.map(async prompt => ({
      key: prompt.metadata?.['task'] ?? null,
      value: Buffer.from(await serde.encode(prompt)),
    }))
    await producer.send({ topic: 'prompts', messages: await Promise.all(messages) })
  } finally {
    await producer.disconnect()
  }
}

/** Reads completions and dead letters as any consumer would, until it is closed or `failed` rejects. */
async function follow(
  kafka: Kafka,
  groupId: string,
  gatherer: Gatherer,
  onRead: () => void,
): Promise<{ readonly failed: Promise<never>; close(): Promise<void> }> {
  const codec = registryFromEnvironment()
  const completions = codec('completions', schemas.completion)
  const originals = codec('prompts', schemas.prompt)
  const consumer = kafka.consumer({ groupId, readUncommitted: false, maxWaitTimeInMs: 100 })
  await consumer.connect()
  await consumer.subscribe({ topics: ['completions', deadLetters], fromBeginning: true })
  const failed = new Promise<never>((_, reject) => {
    consumer.on('consumer.crash', ({ payload }) => {
      if (!payload.restart) reject(payload.error)
    })
    void consumer.run({
      eachMessage: async ({ topic, message: { value, headers = {} } }) => {
        const bytes = value ?? Buffer.alloc(0)
        try {
          if (topic === 'completions') gatherer.completion(await completions.decode(bytes))
          else {
            const fact = (name: string): string => String(headers[`__lorastream.errors.${name}`] ?? '')
            gatherer.dead({ prompt: await originals.decode(bytes), code: fact('code'), reason: fact('message') })
          }
        } catch (error) {
          // kafkajs would read it again for ever.
          reject(error)
        }
        onRead()
      },
    })
  })
  failed.catch(() => {})
  return { failed, close: () => consumer.disconnect() }
}
