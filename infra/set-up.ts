import type { Admin } from 'kafkajs'
import { schemas, toErrorData } from 'lorastream'
import { askRegistry } from './registry-request.ts'

const topics = ['prompts', 'completions', 'prompts.dead']
const subjects = [
  ['prompts-value', schemas.prompt],
  ['completions-value', schemas.completion],
] as const

type Size = { readonly partitions: number; readonly replicas: number }

/**
 * Creates the topics of the main job where they are not there yet, and returns the names of those that it made. `completions`
 * has as many partitions as `prompts`, so that prompts without a key keep their order.
 */
export async function createTopics(
  admin: Pick<Admin, 'listTopics' | 'createTopics'>,
  size: Size,
): Promise<readonly string[]> {
  const missing = await missingTopics(admin)
  await create(admin, missing, size)
  return missing
}

async function missingTopics(admin: Pick<Admin, 'listTopics'>): Promise<readonly string[]> {
  const there = new Set(await admin.listTopics())
  return topics.filter(topic => !there.has(topic))
}

async function create(
  admin: Pick<Admin, 'createTopics'>,
  names: readonly string[],
  { partitions, replicas }: Size,
): Promise<void> {
  if (names.length > 0)
    await admin.createTopics({
      waitForLeaders: true,
      topics: names.map(topic => ({ topic, numPartitions: partitions, replicationFactor: replicas })),
    })
}

/**
 * What the registry answered for each subject of the main job; a schema that it has already is made once. Throws
 * TransportError where it does not answer.
 */
export async function registerSchemas(url: string): Promise<ReadonlyMap<string, string>> {
  const answers = new Map<string, string>()
  for (const [subject, schema] of subjects) answers.set(subject, await register(url, subject, schema.avro))
  return answers
}

async function register(url: string, subject: string, avro: unknown): Promise<string> {
  const body = JSON.stringify({ schema: JSON.stringify(avro), schemaType: 'AVRO' })
  return await askRegistry(url, 'POST', `/subjects/${subject}/versions`, body)
}

/** What a set-up made. */
export type Made = {
  readonly topics: readonly string[]
  readonly subjects: readonly string[]
  /** Removes just this. */
  remove(): Promise<void>
}

/**
 * Topics and schemas of the main job, to be removed again: a partition is replicated as the cluster does by default. Where a
 * step fails, what those before it made is removed.
 */
export async function setUp(
  admin: Pick<Admin, 'listTopics' | 'createTopics' | 'deleteTopics'>,
  url: string,
  partitions: number,
): Promise<Made> {
  const undo: (() => Promise<unknown>)[] = []
  try {
    const before = await askRegistry(url, 'GET', '/subjects')
    for (const [subject, schema] of subjects) {
      await register(url, subject, schema.avro)
      if (!before.includes(`"${subject}"`)) undo.push(() => askRegistry(url, 'DELETE', `/subjects/${subject}`))
    }
    const made = await missingTopics(admin)
    // One that fails may have made some of them.
    undo.push(async () => {
      const there = await admin.listTopics()
      await admin.deleteTopics({ topics: made.filter(topic => there.includes(topic)) })
    })
    await create(admin, made, { partitions, replicas: -1 })
    return { topics: made, subjects: subjects.map(([subject]) => subject), remove }
  } catch (error) {
    const left = await remove().then(
      () => '',
      (reason: unknown) => `; and what was made before is not all removed: ${toErrorData(reason).message}`,
    )
    throw new Error(`${toErrorData(error).message}${left}`, { cause: error })
  }

  /** Every step, whichever fails; then throws the first failure. */
  async function remove(): Promise<void> {
    for (const step of await Promise.allSettled(undo.splice(0).map(one => one())))
      if (step.status === 'rejected') throw step.reason
  }
}
