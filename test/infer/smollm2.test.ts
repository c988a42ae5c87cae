import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { ErrorData } from '../../src/errors.ts'
import type { Output } from '../../src/events.ts'
import { onnxEngine, type OnnxEngine } from '../../src/infer/onnx-engine.ts'
import type { Adapter, Lora } from '../../src/lora.ts'
import type { Batch, Row } from '../../src/ports.ts'
import { admitted, alone } from '../support/tiny-engine.ts'

const root = join(import.meta.dirname, '../..')
const path = join(root, 'models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf')
const skip = !existsSync(path) && 'THE DEMO MODEL WAS NOT TESTED: npm -s start -- models pull fetches it'

/** The command line's own, so that weights are converted once. */
const cache = join(root, '.cache/lorastream')

/** Ranks 2, 4, 8 and 16; on q and v, on all of attention, on everything, on some layers only; rsLoRA. */
const names = [
  'commonsense_qa',
  'adversarial_qa_droberta',
  'paws',
  'cosmos_question',
  'common_gen',
  'wiqa_yesno',
  'qasc',
  'social_question',
] as const

const texts = readFileSync(join(root, 'adapters/prompts.jsonl'), 'utf8')
  .trim()
  .split('\n')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a file of this repository
  .map(line => (JSON.parse(line) as { readonly text: string }).text)

let engine: OnnxEngine
let adapters: readonly Adapter[]

before(async () => {
  if (skip !== false) return
  engine = await onnxEngine(path, { precision: 'int8', cache })
  adapters = await Promise.all(names.map(name => admitted(join(root, 'adapters', name))))
})

after(async () => {
  if (skip === false) await engine.close()
})

/** A row and what it mixes. */
type Mixed = { readonly row: Row; readonly mix: readonly { readonly lora: Lora; readonly weight: number }[] }

function batchOf(all: readonly Mixed[]): Batch {
  const stack = all.flatMap(({ mix }) => mix.map(({ lora }) => lora))
  let next = 0
  return {
    rows: all.map(({ row }) => row),
    stack,
    mapping: all.map(({ mix }) => mix.map(({ weight }) => ({ lora: next++, weight }))),
  }
}

function rowOf(text: string, maxTokens: number, given: Partial<Row> = {}): Row {
  const greedy = { temperature: 0, topP: 1, topK: 0, seed: 0, stop: [], ignoreEos: true }
  return { prompt: { text }, maxTokens, ...greedy, ...given }
}

/** The base, a selection, a mixture and a fusion, over all adapters in turn. */
function mixOf(index: number): Mixed['mix'] {
  const lora = (step: number): Lora => {
    const adapter = adapters[(3 * index + step) % adapters.length]
    assert.ok(adapter)
    return alone(adapter)
  }
  switch (index % 5) {
    case 0:
      return []
    case 1:
      return [{ lora: lora(0), weight: 1 }]
    case 2:
      return [{ lora: [...lora(0), ...lora(1), ...lora(2)].map(part => ({ ...part, weight: 1 / 3 })), weight: 1 }]
    default:
      return [0, 1, 2].map(step => ({ lora: lora(step), weight: 1 / 3 }))
  }
}

/** Rows from a few tokens to some sixty and the template's, greedy and sampled in every way, of other limits. */
function windowOf(count: number, maxTokens: number): readonly Mixed[] {
  return Array.from({ length: count }, (_, index) => {
    const text = texts[(index * 7) % texts.length] ?? ''
    const sampled = { temperature: 0.5 + index / 10, topP: index % 3 === 0 ? 0.9 : 1, topK: index % 4 === 3 ? 50 : 0 }
    return {
      row: rowOf(text.slice(0, 4 + 12 * index), maxTokens - (index % 4), {
        seed: index * 7919,
        ...(index % 2 === 1 && sampled),
      }),
      mix: mixOf(index),
    }
  })
}

async function run(of: OnnxEngine, all: readonly Mixed[]): Promise<readonly (Output | ErrorData)[]> {
  const results = await of.run(batchOf(all))
  for (const result of results) assert.ok('text' in result, JSON.stringify(result))
  return results
}

const tokensOf = (result: Output | ErrorData | undefined): readonly number[] =>
  result !== undefined && 'tokens' in result ? result.tokens : []

test('int8: each row in a window of sixteen is the row alone, greedy and sampled', { skip }, async () => {
  const window = windowOf(16, 8)
  const together = await run(engine, window)
  const lengths = new Set(together.map(result => ('promptTokens' in result ? result.promptTokens : 0)))
  assert.ok(lengths.size > 10, 'the prompts are too much alike')
  assert.equal(new Set(together.map(result => tokensOf(result).join())).size, 16)
  for (const [index, row] of window.entries())
    assert.deepEqual(await run(engine, [row]), [together[index]], `row ${index}`)
})

test('int8: a row is the same beside short and long neighbours, with no adapters and with many', { skip }, async () => {
  const probes = windowOf(14, 7).filter((_, index) => [2, 5, 8, 13].includes(index))
  const expected = await Promise.all(probes.map(async probe => (await run(engine, [probe]))[0]))
  const everything: Mixed['mix'] = adapters.map((adapter, index) => ({
    lora: alone(adapter),
    weight: 0.1 + index / 20,
  }))
  const company: Readonly<Record<string, readonly Mixed[]>> = {
    'short ones of the base': [1, 2, 3, 4].map(index => ({ row: rowOf('Hi'.repeat(index), 3), mix: [] })),
    'a long one': [{ row: rowOf(texts.join('\n').slice(0, 600), 2), mix: [] }],
    'many adapters': [1, 2].map(index => ({
      row: rowOf('Hello', 9, { temperature: 1, seed: index }),
      mix: everything,
    })),
  }
  for (const [what, others] of Object.entries(company)) {
    const half = Math.ceil(others.length / 2)
    const results = await run(engine, [...others.slice(0, half), ...probes, ...others.slice(half)])
    assert.deepEqual(results.slice(half, half + probes.length), expected, what)
  }
})

test(
  'a stop string ends its row with the token that completes it, is cut off the text, and concerns no other row',
  { skip },
  async () => {
    const text = 'Count from one to ten in words, with commas.'
    const [free] = await run(engine, [{ row: rowOf(text, 24), mix: [] }])
    assert.ok(free && 'text' in free)
    assert.equal(free.finishReason, 'LENGTH')
    assert.equal(free.tokens.length, 24)
    const place = Math.floor(free.text.length / 2)
    const stop = free.text.slice(place, place + 4)
    const at = free.text.indexOf(stop)
    const stopping = { row: rowOf(text, 24, { stop: ['\u0000', stop] }), mix: [] }
    const [stopped, other] = await run(engine, [stopping, { row: rowOf(text, 24), mix: [] }])
    assert.ok(stopped && 'text' in stopped)
    assert.equal(stopped.text, free.text.slice(0, at))
    assert.equal(stopped.finishReason, 'STOP')
    assert.ok(stopped.tokens.length > 0 && stopped.tokens.length < 24)
    assert.deepEqual(stopped.tokens, free.tokens.slice(0, stopped.tokens.length))
    assert.deepEqual(other, free)
    assert.deepEqual(await run(engine, [stopping]), [stopped])
  },
)

test(
  'an answer that ends by itself ends with the end token, however many more it might have had',
  { skip },
  async () => {
    const row = rowOf('Answer with one word: what is the capital of France?', 4000, { ignoreEos: false })
    // Without an early exit this would take thousands of steps.
    const [ended, one] = await run(engine, [
      { row, mix: [] },
      { row: { ...row, maxTokens: 1 }, mix: [] },
    ])
    assert.ok(ended && one && 'text' in ended && 'text' in one)
    assert.equal(ended.finishReason, 'STOP')
    assert.match(ended.text, /Paris/)
    assert.ok(ended.tokens.length < 60)
    assert.ok(!ended.text.includes('<|im_end|>'))
    assert.deepEqual([one.finishReason, one.tokens], ['LENGTH', ended.tokens.slice(0, 1)])
  },
)

test('float32: rows in a window are the rows alone, and keep their first words at int8', { skip }, async t => {
  const exact = await onnxEngine(path, { precision: 'float32', cache })
  t.after(() => exact.close())
  const window = windowOf(4, 6)
  const together = await run(exact, window)
  for (const index of [1, 2]) {
    const row = window[index]
    assert.ok(row)
    assert.deepEqual(await run(exact, [row]), [together[index]], `row ${index}`)
  }
  const rounded = await run(engine, window)
  const alike = together.filter((result, index) => tokensOf(result)[0] === tokensOf(rounded[index])[0])
  assert.ok(alike.length >= 3, `${alike.length} of 4 first tokens are those of float32`)
})
