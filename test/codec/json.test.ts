import assert from 'node:assert/strict'
import { test } from 'node:test'
import { json } from '../../src/codec/json.ts'
import { SchemaError } from '../../src/errors.ts'
import type { Prompt } from '../../src/events.ts'
import type { Schema } from '../../src/ports.ts'
import { schemas } from '../../src/schemas.ts'
import { codecContract, sample } from '../contracts/codec.ts'

codecContract('json', () => json())

type Anything = Readonly<Record<string, unknown>>

function schema(fields: readonly unknown[]): Schema<Anything> {
  return { name: 'Any', avro: { type: 'record', name: 'Any', namespace: 'test', fields } }
}

async function refused(target: Schema<unknown>, text: string | Uint8Array, reason: RegExp): Promise<void> {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text
  await assert.rejects(json()('notes', target).decode(bytes), (error: unknown) => {
    assert.ok(error instanceof SchemaError, String(error))
    assert.match(error.message, reason)
    assert.ok(error.message.length < 600, error.message)
    return true
  })
}

test('json: what is written is plain JSON that others read', async () => {
  const prompt: Prompt = { text: 'hé', maxTokens: 4, adapters: [{ id: 'a', weight: 0.5 }], metadata: { tenant: 'x' } }
  const bytes = await json()('prompts', schemas.prompt).encode(prompt)
  assert.deepEqual(JSON.parse(Buffer.from(bytes).toString()), prompt)
})

test('json: an optional field may be null or absent, and is absent then', async () => {
  const serde = json()('prompts', schemas.prompt)
  assert.deepEqual(await serde.decode(Buffer.from('{"text":"a","maxTokens":null}')), { text: 'a' })
})

test('json: what the schema does not have is refused on reading, with its name, and not written', async () => {
  await refused(schemas.prompt, '{"text":"a","maxTokns":4}', /^topic "notes": Prompt\.maxTokns is not a field/)
  await refused(schemas.prompt, '{"text":"a","adapters":[{"id":"a"},{"name":"b"}]}', /Prompt\.adapters\[1\]\.name/)
  const serde = json()('prompts', schemas.prompt)
  assert.equal(String(await serde.encode({ text: 'a', tokens: [1] })), '{"text":"a"}')
})

test('json: a misfit names the field, what was found and what was expected', async () => {
  for (const [text, reason] of [
    ['{}', /Prompt\.text is missing/],
    ['[]', /Prompt is an array, expected an object/],
    ['null', /Prompt is null, expected an object/],
    ['{"text":7}', /Prompt\.text is 7, expected a string/],
    ['{"text":"a","maxTokens":1.5}', /Prompt\.maxTokens is 1\.5, expected an integer/],
    ['{"text":"a","maxTokens":2147483648}', /Prompt\.maxTokens is 2147483648/],
    ['{"text":"a","seed":9007199254740993}', /Prompt\.seed is \d+, expected an integer below 2\^53/],
    ['{"text":"a","temperature":"1"}', /Prompt\.temperature is "1", expected a number/],
    ['{"text":"a","stop":"x"}', /Prompt\.stop is "x", expected an array/],
    ['{"text":"a","stop":["x",[]]}', /Prompt\.stop\[1\] is an array, expected a string/],
    ['{"text":"a","metadata":{"k":1}}', /Prompt\.metadata\.k is 1, expected a string/],
  ] as const)
    await refused(schemas.prompt, text, reason)
  await refused(sample, '{"text":"a","on":true,"kind":"SIX","score":null}', /Sample\.kind is "SIX", expected ONE, TWO/)
})

test('json: what is not JSON, not UTF-8 or too long is refused without quoting it', async () => {
  await refused(schemas.prompt, '{"text":"private"', /Prompt is not JSON/)
  await refused(schemas.prompt, '\uFEFF{"text":"a"}', /Prompt is not JSON/)
  await refused(schemas.prompt, Uint8Array.of(0x22, 0xff, 0x22), /not UTF-8/)
  await refused(schemas.prompt, Buffer.alloc(8 * 2 ** 20 + 1, 32), /8388609 bytes, expected at most 8388608/)
  await refused(schemas.prompt, `${'['.repeat(1e6)}${']'.repeat(1e6)}`, /Prompt is an array|not JSON/)
  await assert.rejects(json()('prompts', schemas.prompt).decode(Buffer.from('{"text":"private')), (error: unknown) => {
    assert.doesNotMatch(String(error), /private/)
    return true
  })
})

test('json: defaults, bytes, fixed, floats and unions of several come back as Avro gives them', async () => {
  const target = schema([
    { name: 'size', type: 'int', default: 7 },
    { name: 'raw', type: 'bytes', default: '\u00ff' },
    { name: 'two', type: { type: 'fixed', name: 'Two', size: 2 } },
    { name: 'score', type: 'float' },
    { name: 'either', type: ['null', 'string', 'int'] },
  ])
  const serde = json()('notes', target)
  const value = { size: 1, raw: Buffer.of(0, 200), two: Buffer.of(1, 2), score: -Infinity, either: { string: 'x' } }
  assert.deepEqual(await serde.decode(await serde.encode(value)), value)
  const rest = { two: Buffer.of(1, 2), score: 1, either: null }
  assert.deepEqual(await serde.decode(await serde.encode(rest)), { size: 7, raw: Buffer.of(255), ...rest })
  await refused(target, '{"two":"abc","score":1,"either":null}', /Any\.two is "abc", expected bytes, 2 of them/)
  await refused(
    target,
    '{"two":"ab","score":1,"either":"x"}',
    /Any\.either is "x", expected an object with one of string, int/,
  )
})

test('json: a recursive schema nests no deeper than 64', async () => {
  const list = schema([{ name: 'next', type: ['null', 'Any'], default: null }])
  const nested = (depth: number): string => (depth === 0 ? '{}' : `{"next":${nested(depth - 1)}}`)
  assert.ok(await json()('notes', list).decode(Buffer.from(nested(64))))
  await refused(list, nested(65), /nested deeper than 64/)
})
