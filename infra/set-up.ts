import type { Admin } from 'kafkajs'
import { schemas } from 'lorastream'

const topics = ['prompts', 'completions', 'prompts.dead']

/**
 * Creates the topics of the main job where they are not there yet, and returns the names of those that it made. `completions`
 * has as many partitions as `prompts`, so that prompts without a key keep their order.
 */
export async function createTopics(
  admin: Pick<Admin, 'listTopics' | 'createTopics'>,
  { partitions, replicas }: { readonly partitions: number; readonly replicas: number },
): Promise<readonly string[]> {
  const there = new Set(await admin.listTopics())
  const missing = topics.filter(topic => !there.has(topic))
  if (missing.length > 0)
    await admin.createTopics({
      waitForLeaders: true,
      topics: missing.map(topic => ({ topic, numPartitions: partitions, replicationFactor: replicas })),
    })
  return missing
}

/** What the registry answered for each subject of the main job; a schema that it has already is made once. */
export async function registerSchemas(url: string): Promise<ReadonlyMap<string, string>> {
  const answers = new Map<string, string>()
  for (const [subject, { avro }] of [
    ['prompts-value', schemas.prompt],
    ['completions-value', schemas.completion],
  ] as const) {
    const body = JSON.stringify({ schema: JSON.stringify(avro), schemaType: 'AVRO' })
    answers.set(subject, await ask(url, `/subjects/${subject}/versions`, { method: 'POST', body }))
  }
  return answers
}

/** What a set-up made. */
export type Made = {
  readonly topics: readonly string[]
  readonly subjects: readonly string[]
  /** Removes just this. */
  remove(): Promise<void>
}

/** Topics and schemas of the main job, to be removed again: a partition is replicated as the cluster does by default. */
export async function setUp(
  admin: Pick<Admin, 'listTopics' | 'createTopics' | 'deleteTopics'>,
  url: string,
  partitions: number,
): Promise<Made> {
  const made = await createTopics(admin, { partitions, replicas: -1 })
  const before = await ask(url, '/subjects', {})
  const subjects = [...(await registerSchemas(url)).keys()]
  return {
    topics: made,
    subjects,
    async remove() {
      await admin.deleteTopics({ topics: [...made] })
      for (const subject of subjects)
        if (!before.includes(`"${subject}"`)) await ask(url, `/subjects/${subject}`, { method: 'DELETE' })
    },
  }
}

async function ask(url: string, path: string, request: RequestInit): Promise<string> {
  const headers = { 'content-type': 'application/vnd.schemaregistry.v1+json', ...authorization() }
  const response = await fetch(`${url.split(',')[0]}${path}`, { ...request, headers })
  const answer = await response.text()
  if (!response.ok) throw new Error(`${path}: the registry answers ${response.status}: ${answer}`)
  return answer
}

/** As the main job has it. */
function authorization(): { readonly authorization?: string } {
  const { SCHEMA_REGISTRY_AUTH: basic = '', SCHEMA_REGISTRY_TOKEN: bearer = '' } = process.env
  if (bearer !== '') return { authorization: `Bearer ${bearer}` }
  return basic === '' ? {} : { authorization: `Basic ${Buffer.from(basic).toString('base64')}` }
}
