import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ModelError } from '../../src/errors.ts'
import { readTensor, readSafetensorsHeader, toFloat32 } from '../../src/hf/safetensors.ts'
import { openPeft } from '../../src/hf/peft.ts'
import { onnxEngine, type OnnxEngine } from '../../src/infer/onnx-engine.ts'
import type { Adapter, AdapterId, Lora } from '../../src/lora.ts'
import type { Batch, Row } from '../../src/ports.ts'

/** Vectors of PyTorch and PEFT; their README says how they were made. */
const golden = fileURLToPath(new URL('../fixtures/golden/', import.meta.url))

type GoldenRow = {
  readonly name: string
  readonly mode: 'base' | 'selection' | 'mixture' | 'fusion'
  readonly adapters: readonly string[]
  readonly weights: readonly number[]
  readonly input_ids: readonly number[]
  readonly greedy: readonly number[]
  readonly min_margin: number
}

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a fixture of this repository
const compose = JSON.parse(readFileSync(join(golden, 'compose.json'), 'utf8')) as {
  readonly rows: readonly GoldenRow[]
}

/** Below this gap between the two best logits another order of additions may choose the other token. */
const MIN_MARGIN = 0.001
const NEW_TOKENS = 32

const row = (tokens: readonly number[], maxTokens = NEW_TOKENS): Row => ({
  prompt: { tokens },
  maxTokens,
  temperature: 0,
  topP: 1,
  topK: 0,
  seed: 0,
  stop: [],
  ignoreEos: true,
})

let cache: string
let engine: OnnxEngine
const adapters = new Map<string, Adapter>()

before(async () => {
  cache = await mkdtemp(join(tmpdir(), 'lorastream-golden-'))
  engine = await onnxEngine(join(golden, 'tiny-llama'), { precision: 'float32', template: 'raw', cache })
  for (const name of new Set(compose.rows.flatMap(one => one.adapters))) {
    const { digest, directory, rank } = await openPeft(join(golden, 'adapters', name))
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its own name
    adapters.set(name, { id: name as AdapterId, digest, directory, rank })
  }
})

after(async () => {
  await engine.close()
  await rm(cache, { recursive: true })
})

function part(name: string, weight: number): Lora[number] {
  const adapter = adapters.get(name)
  assert.ok(adapter, name)
  return { adapter, weight }
}

/** The batch of these golden rows, each with its own mix. */
function batchOf(rows: readonly GoldenRow[]): Batch {
  const stack: Lora[] = []
  const push = (lora: Lora): number => stack.push(lora) - 1
  return {
    rows: rows.map(one => row(one.input_ids)),
    mapping: rows.map(({ mode, adapters: names, weights }) =>
      mode === 'fusion'
        ? [{ lora: push(names.map((name, index) => part(name, weights[index] ?? 0))), weight: 1 }]
        : names.map((name, index) => ({ lora: push([part(name, 1)]), weight: weights[index] ?? 0 })),
    ),
    stack,
  }
}

async function logitsOf(file: string, index: number): Promise<Float32Array> {
  const fail = (message: string) => new ModelError(message)
  const header = await readSafetensorsHeader(file, fail)
  const info = header.tensors.get(`logits.${index}`)
  assert.ok(info)
  return toFloat32(await readTensor(file, info, fail), 'F32')
}

function largestDifference(one: Float32Array, other: Float32Array): number {
  assert.equal(one.length, other.length)
  return one.reduce((most, value, index) => Math.max(most, Math.abs(value - (other[index] ?? NaN))), 0)
}

async function checkLogits(found: OnnxEngine, rows: readonly GoldenRow[], file: string, batch: Batch): Promise<void> {
  for (const [index, logits] of (await found.score(batch)).entries()) {
    assert.ok(logits instanceof Float32Array, JSON.stringify(logits))
    const difference = largestDifference(logits, await logitsOf(file, index))
    assert.ok(difference <= 1e-4, `row ${index} ${rows[index]?.name ?? ''}: logits differ by ${difference}`)
  }
}

async function checkTokens(found: OnnxEngine, rows: readonly GoldenRow[], batch: Batch): Promise<void> {
  for (const [index, output] of (await found.run(batch)).entries()) {
    const expected = rows[index]
    assert.ok(expected && 'tokens' in output, JSON.stringify(output))
    if (expected.min_margin >= MIN_MARGIN)
      assert.deepEqual(output.tokens, expected.greedy, `row ${index} ${expected.name}`)
  }
}

test('the logits of all composition rows in one mixed batch are those of PEFT', async () => {
  await checkLogits(engine, compose.rows, join(golden, 'compose.safetensors'), batchOf(compose.rows))
})

test('the greedy tokens of all composition rows in one mixed batch are those of PEFT', async () => {
  const compared = compose.rows.filter(one => one.min_margin >= MIN_MARGIN)
  assert.ok(compared.length >= 60, `${compared.length} rows can be compared`)
  await checkTokens(engine, compose.rows, batchOf(compose.rows))
})

test('each composition row alone gives the tokens of PEFT', async () => {
  for (const one of compose.rows) await checkTokens(engine, [one], batchOf([one]))
})

for (const architecture of ['qwen2', 'llama3-rope']) {
  for (const config of ['config.json', 'config.legacy.json']) {
    test(`${architecture} with ${config} gives the logits and tokens of PyTorch, alone and batched`, async t => {
      const directory = join(golden, 'arch', architecture)
      const copy = await mkdtemp(join(tmpdir(), 'lorastream-arch-'))
      await cp(directory, copy, { recursive: true })
      await cp(join(directory, config), join(copy, 'config.json'))
      const other = await onnxEngine(copy, { precision: 'float32', template: 'raw', cache })
      t.after(async () => {
        await other.close()
        await rm(copy, { recursive: true })
      })
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a fixture of this repository
      const rows = JSON.parse(readFileSync(join(directory, 'golden.json'), 'utf8')) as readonly GoldenRow[]
      const batch: Batch = { rows: rows.map(one => row(one.input_ids)), stack: [], mapping: rows.map(() => []) }
      await checkLogits(other, rows, join(directory, 'golden.safetensors'), batch)
      await checkTokens(other, rows, batch)
      for (const one of rows) await checkTokens(other, [one], { rows: [row(one.input_ids)], stack: [], mapping: [[]] })
    })
  }
}
