import assert from 'node:assert/strict'
import { test } from 'node:test'
import { avro } from '../src/codec/avro.ts'
import type { Completion, NamedAdapter, Prompt } from '../src/events.ts'
import type { Schema } from '../src/ports.ts'
import { schemas } from '../src/schemas.ts'
import { adapter, digestOf } from './support/fakes.ts'

/** Every field of a prompt, none left out: the compiler sees to it when events.ts changes. */
type Whole = Required<Omit<Prompt, 'tokens'>> & { readonly adapters: readonly Required<NamedAdapter>[] }

const prompt: Whole = {
  id: 'one',
  text: 'hello',
  system: 'be brief',
  maxTokens: 5,
  temperature: 0.5,
  topP: 0.9,
  topK: 4,
  seed: 2 ** 40,
  stop: ['.'],
  ignoreEos: true,
  adapters: [{ id: 'a', weight: 0.5 }],
  exclude: ['b'],
  strategy: 'mixture',
  k: 2,
  metadata: { tenant: 'me' },
}

const { id, digest, rank } = adapter('a')
const completion: Omit<Completion, 'tokens'> = {
  id: 'prompts-0-7',
  promptId: 'one',
  text: 'hi',
  finishReason: 'STOP',
  usage: { promptTokens: 3, completionTokens: 1 },
  metadata: { tenant: 'me' },
  provenance: {
    strategy: 'MIXTURE',
    adapters: [
      { id, digest, weight: 0.5, score: 0.9, rank },
      { id, digest, weight: 0.5, score: null, rank },
    ],
    pool: { epoch: 1, size: 2 },
    base: { id: 'base', digest: digestOf('base') },
    encoder: { id: 'encoder', digest: digestOf('encoder') },
    window: { id: 'w', size: 1, row: 0, distinctAdapters: 1, closedBy: 'TOKENS' },
    source: { topic: 't', partition: 1, offset: 7, timestamp: 1.7e12 },
    sampling: { temperature: 0, topP: 1, topK: 0, seed: 0 },
    engine: { name: 'e', version: '1', device: 'cpu', precision: 'int8' },
    ms: { queue: 1, retrieve: 2, compose: 3, infer: 4 },
    lorastream: '0.1.0',
  },
}

/** The names of a value's fields, in their places. */
function namesIn(value: unknown): unknown {
  if (Array.isArray(value)) return namesIn(value[0])
  if (typeof value !== 'object' || value === null) return 'value'
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, namesIn(field)]))
}

/** The same of a schema; a map's key is `tenant`, as in the values here. */
function namesOf(part: unknown): unknown {
  if (Array.isArray(part)) return namesOf(part.find(branch => branch !== 'null'))
  if (typeof part !== 'object' || part === null || !('type' in part)) return 'value'
  if ('items' in part) return namesOf(part.items)
  if ('values' in part) return { tenant: namesOf(part.values) }
  if (!('fields' in part) || !Array.isArray(part.fields)) return part.type === 'enum' ? 'value' : namesOf(part.type)
  return Object.fromEntries(
    part.fields.map((field: { readonly name: string; readonly type: unknown }) => [field.name, namesOf(field.type)]),
  )
}

async function agree<T>(schema: Schema<T>, value: T): Promise<void> {
  assert.deepEqual(namesOf(schema.avro), namesIn(value))
  const serde = avro()('topic', schema)
  assert.deepEqual(await serde.decode(await serde.encode(value)), value)
}

test('schemas: a prompt with every field comes back whole, so events.ts and prompt.avsc agree', async () => {
  await agree<Prompt>(schemas.prompt, prompt)
  assert.deepEqual(schemas.prompt.parse?.(prompt), prompt)
})

test('schemas: a completion with every field comes back whole, so events.ts and completion.avsc agree', async () => {
  await agree<Completion>(schemas.completion, completion)
})

test('schemas: token ids are for JSON lines only', async () => {
  const serde = avro()('topic', schemas.completion)
  assert.deepEqual(await serde.decode(await serde.encode({ ...completion, tokens: [1] })), completion)
})

test('schemas: every field has a doc, and every optional one is null by default', () => {
  for (const { name, avro: schema } of [schemas.prompt, schemas.completion]) {
    let fields = 0
    visit(schema, name)
    assert.ok(fields > 10)

    function visit(part: unknown, path: string): void {
      if (Array.isArray(part)) return part.forEach(branch => visit(branch, path))
      if (typeof part !== 'object' || part === null) return
      if ('name' in part && 'type' in part && part.type !== 'record' && part.type !== 'enum') {
        fields++
        assert.ok('doc' in part && typeof part.doc === 'string' && part.doc.length > 5, `${path}.${String(part.name)}`)
      }
      for (const inner of Object.values(part)) visit(inner, path)
    }
  }
})
