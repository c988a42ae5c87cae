import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ModelError } from '../../src/errors.ts'
import { readTensor, readSafetensorsHeader, toFloat32 } from '../../src/hf/safetensors.ts'
import { onnxEngine, type OnnxEngine } from '../../src/infer/onnx-engine.ts'
import type { Batch } from '../../src/ports.ts'
import { greedyRow } from '../../src/row.ts'
import { composeRows, golden, goldenBatch, type GoldenRow } from '../support/golden.ts'

/** Below this gap between the two best logits another order of additions may choose the other token. */
const MIN_MARGIN = 0.001
const NEW_TOKENS = 32

let cache: string
let engine: OnnxEngine

before(async () => {
  cache = await mkdtemp(join(tmpdir(), 'lorastream-golden-'))
  engine = await onnxEngine(join(golden, 'tiny-llama'), { precision: 'float32', template: 'raw', cache })
})

after(async () => {
  await engine.close()
  await rm(cache, { recursive: true })
})

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
  await checkLogits(
    engine,
    composeRows,
    join(golden, 'compose.safetensors'),
    await goldenBatch(composeRows, NEW_TOKENS),
  )
})

test('the greedy tokens of all composition rows in one mixed batch are those of PEFT', async () => {
  const compared = composeRows.filter(one => one.min_margin >= MIN_MARGIN)
  assert.ok(compared.length >= 60, `${compared.length} rows can be compared`)
  await checkTokens(engine, composeRows, await goldenBatch(composeRows, NEW_TOKENS))
})

test('each composition row alone gives the tokens of PEFT', async () => {
  for (const one of composeRows) await checkTokens(engine, [one], await goldenBatch([one], NEW_TOKENS))
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
      const batch: Batch = {
        rows: rows.map(one => greedyRow(one.input_ids, NEW_TOKENS)),
        stack: [],
        mapping: rows.map(() => []),
      }
      await checkLogits(other, rows, join(directory, 'golden.safetensors'), batch)
      await checkTokens(other, rows, batch)
      for (const one of rows)
        await checkTokens(other, [one], { rows: [greedyRow(one.input_ids, NEW_TOKENS)], stack: [], mapping: [[]] })
    })
  }
}
