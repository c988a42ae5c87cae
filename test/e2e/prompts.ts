import { setTimeout } from 'node:timers/promises'
import { avro } from '../../src/codec/avro.ts'
import type { Prompt } from '../../src/events.ts'
import type { RawRecord } from '../../src/ports.ts'
import { schemas } from '../../src/schemas.ts'
import type { Plan, Poison } from './plan.ts'
import type { ReadRecord, Topics } from './topics.ts'

/** Writers of several versions: an instance has to ask the registry for each of them. */
const VERSIONS = 6
/** An id that no registry gave. */
const UNKNOWN_SCHEMA = 999_999_999
/** As long as a broker may be away. */
const PATIENCE_MS = 120_000

/** Numbered prompts of a plan, one after the other. */
export type Prompts = {
  /** The next ones, for a partition. */
  next(count: number): Promise<readonly RawRecord[]>
  /** What a record of the topic asked. */
  read(record: ReadRecord): { readonly text: string; readonly poison: Poison | undefined }
}

/** Registers the writers' schemas of a topic, and numbers prompts as the plan has them. */
export async function numberedPrompts(topic: string, registryUrl: string, plan: Plan, maxTokens: number) {
  const writers = await Promise.all(Array.from({ length: VERSIONS }, (_, version) => writer(version)))
  let number = 0
  return { next, read } satisfies Prompts

  async function writer(version: number) {
    const { avro: schema, name } = schemas.prompt
    if (typeof schema !== 'object' || schema === null || !('fields' in schema) || !Array.isArray(schema.fields))
      throw new Error('the schema of prompts is no record')
    const fields: readonly unknown[] = schema.fields
    const added = Array.from({ length: version }, (_, index) => ({
      name: `later${index}`,
      type: ['null', 'string'],
      default: null,
    }))
    const later = { ...schema, fields: [...fields, ...added] }
    const id = await register(later)
    const serde = avro()<Prompt>(topic, { ...schemas.prompt, name, avro: later })
    return async (prompt: Prompt): Promise<Buffer> => framed(id, await serde.encode(prompt))
  }

  async function register(schema: unknown): Promise<number> {
    const response = await fetch(new URL(`subjects/${topic}-value/versions`, `${registryUrl.replace(/\/$/, '')}/`), {
      method: 'POST',
      headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
      body: JSON.stringify({ schema: JSON.stringify(schema) }),
    })
    const answer: unknown = await response.json()
    if (typeof answer === 'object' && answer !== null && 'id' in answer) return Number(answer.id)
    throw new Error(`the registry answers ${response.status}: ${JSON.stringify(answer)}`)
  }

  async function next(count: number): Promise<readonly RawRecord[]> {
    const records: RawRecord[] = []
    for (let index = 0; index < count; index++, number++) {
      const { keyed, poison } = plan.prompts[number] ?? { keyed: false, poison: undefined }
      const key = keyed ? Buffer.from(`key-${number % 37}`) : null
      const write = writers[Math.floor((number / plan.prompts.length) * VERSIONS)]
      const text = { refused: 'refuse me', breaks: 'break the run', bytes: '', schema: '' }[poison ?? 'bytes']
      const value = (await write?.({ text: `prompt ${number} ${text}`.trim(), maxTokens })) ?? Buffer.alloc(0)
      if (poison === 'bytes') value.fill(0x01, 0, 5)
      if (poison === 'schema') value.writeUInt32BE(UNKNOWN_SCHEMA, 1)
      const headers = [['number', Buffer.from(String(number))]] as const
      records.push({ key, value, headers })
    }
    return records
  }

  function read({ headers }: ReadRecord): { readonly text: string; readonly poison: Poison | undefined } {
    const asked = Number(String(headers.find(([name]) => name === 'number')?.[1]))
    return { text: `prompt ${asked}`, poison: plan.prompts[asked]?.poison }
  }
}

/** The Confluent wire format. */
function framed(id: number, bytes: Uint8Array): Buffer {
  const header = Buffer.alloc(5)
  header.writeUInt32BE(id, 1)
  return Buffer.concat([header, bytes])
}

/** Tries again while a broker is away: that is the trial, not the test. */
export async function persistently<T>(attempt: () => Promise<T>): Promise<T> {
  for (const end = Date.now() + PATIENCE_MS; ; await setTimeout(500))
    try {
      return await attempt()
    } catch (error) {
      if (Date.now() > end) throw error
    }
}

/** Appends, again until it is sure; what comes twice by that is two prompts. */
export async function appendSurely(topics: Topics, topic: string, records: readonly RawRecord[], partition: number) {
  await persistently(() => topics.append(topic, records, partition))
}
