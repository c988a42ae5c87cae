import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { SchemaError } from '../src/errors.ts'
import { parsePrompt } from '../src/prompt.ts'
import { toRow } from '../src/row.ts'
import { message } from './support/fakes.ts'

const whole = {
  id: 'one',
  text: 'hello',
  system: 'be brief',
  maxTokens: 1,
  temperature: 0.5,
  topP: 1,
  topK: 0,
  seed: -7,
  stop: ['\n'],
  ignoreEos: true,
  adapters: [{ id: 'a' }, { id: 'b.c_d-E', weight: -0.5 }],
  exclude: ['x'],
  strategy: 'fusion',
  k: 5,
  metadata: { tenant: 'me' },
  tokens: [1, 2],
}

test('prompt: every field in range is taken as it is', () => {
  assert.deepEqual(parsePrompt(whole), whole)
  assert.deepEqual(parsePrompt({ text: '' }), { text: '' })
})

test('prompt: a field that is null is absent', () => {
  const nulls = { ...Object.fromEntries(Object.keys(whole).map(name => [name, null])), text: 'x' }
  assert.deepEqual(parsePrompt(nulls), { text: 'x' })
  assert.deepEqual(parsePrompt({ text: 'x', adapters: [{ id: 'a', weight: null }] }), {
    text: 'x',
    adapters: [{ id: 'a' }],
  })
})

test('prompt: tokens stand for text', () => {
  assert.deepEqual(parsePrompt({ tokens: [5] }), { text: '', tokens: [5] })
})

const refused: readonly (readonly [field: string, value: unknown, message: string])[] = [
  ['id', '', 'Prompt.id is "", expected a Unicode string of 1 to 1024 characters'],
  ['id', 7, 'Prompt.id is 7, expected a Unicode string of 1 to 1024 characters'],
  [
    'text',
    'x'.repeat(2 ** 20 + 1),
    `Prompt.text is "${'x'.repeat(40)}"… (1048577 characters), expected a Unicode string of at most 1048576 bytes`,
  ],
  [
    'text',
    'é'.repeat(2 ** 19 + 1),
    `Prompt.text is "${'é'.repeat(40)}"… (524289 characters), expected a Unicode string of at most 1048576 bytes`,
  ],
  ['text', '\ud800', 'Prompt.text is "\\ud800", expected a Unicode string of at most 1048576 bytes'],
  ['system', {}, 'Prompt.system is an object, expected a Unicode string of at most 1048576 bytes'],
  ['maxTokens', 0, 'Prompt.maxTokens is 0, expected an integer from 1 to 131072'],
  ['maxTokens', 1.5, 'Prompt.maxTokens is 1.5, expected an integer from 1 to 131072'],
  ['maxTokens', 2 ** 30, 'Prompt.maxTokens is 1073741824, expected an integer from 1 to 131072'],
  ['maxTokens', '5', 'Prompt.maxTokens is "5", expected an integer from 1 to 131072'],
  ['temperature', -0.1, 'Prompt.temperature is -0.1, expected a finite number from 0'],
  ['temperature', Infinity, 'Prompt.temperature is Infinity, expected a finite number from 0'],
  ['temperature', Number.NaN, 'Prompt.temperature is NaN, expected a finite number from 0'],
  ['topP', 0, 'Prompt.topP is 0, expected a number above 0 and at most 1'],
  ['topP', 1.01, 'Prompt.topP is 1.01, expected a number above 0 and at most 1'],
  ['topK', -1, 'Prompt.topK is -1, expected an integer from 0 to 2147483647'],
  ['seed', 2 ** 53, 'Prompt.seed is 9007199254740992, expected an integer of magnitude below 2^53'],
  ['seed', 0.5, 'Prompt.seed is 0.5, expected an integer of magnitude below 2^53'],
  ['stop', 'x', 'Prompt.stop is "x", expected an array of 0 to 8'],
  ['stop', Array(9).fill('x'), 'Prompt.stop is an array of 9, expected an array of 0 to 8'],
  ['stop', ['x', ''], 'Prompt.stop[1] is "", expected a Unicode string of 1 to 128 characters'],
  ['ignoreEos', 1, 'Prompt.ignoreEos is 1, expected true or false'],
  ['adapters', [{}], 'Prompt.adapters[0].id is missing, expected an adapter id, [A-Za-z0-9._-]{1,128}'],
  ['adapters', [{ id: '../x' }], 'Prompt.adapters[0].id is "../x", expected an adapter id, [A-Za-z0-9._-]{1,128}'],
  [
    'adapters',
    [{ id: 'a', weight: Infinity }],
    'Prompt.adapters[0].weight is Infinity, expected a number from -1000 to 1000',
  ],
  [
    'adapters',
    [{ id: 'a', weight: 1e300 }],
    'Prompt.adapters[0].weight is 1e+300, expected a number from -1000 to 1000',
  ],
  ['adapters', [{ id: 'a', weight: NaN }], 'Prompt.adapters[0].weight is NaN, expected a number from -1000 to 1000'],
  ['adapters', [{ id: 'a', scale: 1 }], 'Prompt.adapters[0] has a field "scale", expected id, weight'],
  ['adapters', [7], 'Prompt.adapters[0] is 7, expected an object with an id'],
  [
    'adapters',
    Array.from({ length: 65 }, () => ({ id: 'a' })),
    'Prompt.adapters is an array of 65, expected an array of 0 to 64',
  ],
  ['exclude', ['a b'], 'Prompt.exclude[0] is "a b", expected an adapter id, [A-Za-z0-9._-]{1,128}'],
  ['strategy', 'MIXTURE', 'Prompt.strategy is "MIXTURE", expected base, selection, mixture, fusion or adaptive'],
  ['k', 0, 'Prompt.k is 0, expected an integer from 1 to 64'],
  ['k', 65, 'Prompt.k is 65, expected an integer from 1 to 64'],
  ['metadata', { tenant: 5 }, 'Prompt.metadata["tenant"] is 5, expected a Unicode string of 0 to 8192 characters'],
  ['metadata', ['x'], 'Prompt.metadata is an array of 1, expected an object of at most 64 strings'],
  ['tokens', [], 'Prompt.tokens is an array of 0, expected an array of 1 to 131072'],
  ['tokens', [-1], 'Prompt.tokens[0] is -1, expected an integer from 0 to 2147483647'],
]

for (const [field, value, text] of refused)
  test(`prompt: refused: ${text.slice(0, 70)}`, () => {
    assert.throws(() => parsePrompt({ text: 'x', [field]: value }), new SchemaError(text))
  })

test('prompt: a field that is unknown is refused, unless it was announced', () => {
  assert.throws(
    () => parsePrompt({ text: 'x', tenant: 'me' }),
    /^SchemaError: Prompt has a field "tenant", expected id, text/,
  )
  assert.deepEqual(parsePrompt({ text: 'x', tenant: 'me' }, ['tenant']), { text: 'x' })
  assert.throws(() => parsePrompt(JSON.parse('{"text":"x","__proto__":1}')), SchemaError)
  assert.throws(() => parsePrompt({ text: 'x', toString: 1 }), SchemaError)
})

test('prompt: whatever value comes, the answer is a prompt or a SchemaError with a short message', () => {
  const field = fc.constantFrom(...Object.keys(whole))
  const value = fc.oneof(fc.anything({ maxDepth: 3 }), fc.jsonValue(), fc.double(), fc.string({ unit: 'binary' }))
  fc.assert(
    fc.property(fc.oneof(value, fc.dictionary(field, value)), candidate => {
      try {
        const prompt = parsePrompt(candidate)
        assert.equal(typeof prompt.text, 'string')
        assert.deepEqual(parsePrompt(prompt), prompt)
      } catch (error) {
        assert.ok(error instanceof SchemaError, String(error))
        assert.ok(error.message.length < 500)
      }
    }),
    { numRuns: 1000 },
  )
})

test('row: defaults are 128 new tokens, greedy, neither top-p nor top-k', () => {
  assert.deepEqual(toRow(message({ text: 'x' })), {
    prompt: { text: 'x' },
    maxTokens: 128,
    temperature: 0,
    topP: 1,
    topK: 0,
    seed: 0,
    stop: [],
    ignoreEos: false,
  })
})

test('row: what a prompt says is taken, and tokens go before text', () => {
  const { prompt, seed, stop, ignoreEos } = toRow(message(parsePrompt(whole)))
  assert.deepEqual([prompt, seed, stop, ignoreEos], [{ tokens: [1, 2] }, -7, ['\n'], true])
  assert.deepEqual(toRow(message({ text: 'x', system: 'y' })).prompt, { text: 'x', system: 'y' })
})

test('row: a sampled prompt without a seed gets the same one whenever it is read, and another than its neighbour', () => {
  const value = { text: 'x', temperature: 1 }
  const seeds = [0, 1, 2].map(offset => toRow(message(value, offset)).seed)
  assert.equal(new Set(seeds).size, 3)
  assert.ok(seeds.every(seed => Number.isSafeInteger(seed) && seed >= 0))
  assert.equal(toRow(message(value, 1)).seed, seeds[1])
})
