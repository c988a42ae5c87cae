import assert from 'node:assert/strict'
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isObject } from '../../src/hf/json.ts'
import { openBaseModel } from '../../src/infer/base-model.ts'
import { scoringGraph } from '../../src/infer/generation.ts'
import { onnxEngine, type OnnxEngine } from '../../src/infer/onnx-engine.ts'
import type { GraphMessage } from '../../src/onnx/proto.ts'
import type { Batch } from '../../src/ports.ts'
import { safetensorsBytes } from '../hf/model-files.ts'
import { greedyRow } from '../../src/row.ts'
import { composeRows, golden, goldenBatch } from '../support/golden.ts'
import { temporaryFolder } from '../support/peft-files.ts'
import { tinyEngine, tinyLlama, tinyTokens } from '../support/tiny-engine.ts'

async function logitsOf(engine: OnnxEngine, batch: Batch): Promise<readonly Float32Array[]> {
  return (await engine.score(batch)).map(result => {
    assert.ok(result instanceof Float32Array, JSON.stringify(result))
    return result
  })
}

/** Root mean square of the differences, in units of the first's own. */
function relativeError(one: Float32Array, other: Float32Array): number {
  assert.equal(one.length, other.length)
  const square = (values: Float32Array): number => values.reduce((sum, value) => sum + value * value, 0)
  return Math.sqrt(square(one.map((value, place) => value - (other[place] ?? NaN))) / square(one))
}

/** Rounding weights and activations to 8 bits is 1 to 3 % of these logits, a wrong scale or zero point far more. */
const MOST = 0.05

async function assertClose(path: string, batch: Batch, t: TestContext): Promise<void> {
  const engines: OnnxEngine[] = []
  for (const precision of ['float32', 'int8'] as const) {
    const engine = await onnxEngine(path, { precision, template: 'raw', cache: await temporaryFolder(t) })
    t.after(() => engine.close())
    engines.push(engine)
  }
  const [exact, rounded] = engines
  assert.ok(exact && rounded)
  const [wanted, found] = [await logitsOf(exact, batch), await logitsOf(rounded, batch)]
  const errors = wanted.map((logits, row) => relativeError(logits, found[row] ?? new Float32Array(0)))
  for (const [row, error] of errors.entries()) assert.ok(error < MOST, `row ${row}: ${error}`)
  assert.ok(
    errors.some(error => error > 1e-4),
    'nothing was rounded',
  )
}

test('int8 stays close to float32 on every composition of adapters', async t => {
  await assertClose(tinyLlama, await goldenBatch(composeRows, 1), t)
})

for (const architecture of ['qwen2', 'llama3-rope']) {
  test(`int8 stays close to float32 on ${architecture}`, async t => {
    const rows = [1, 2, 3].map(step => greedyRow(tinyTokens(20 * step, step), 1))
    await assertClose(join(golden, 'arch', architecture), { rows, stack: [], mapping: rows.map(() => []) }, t)
  })
}

test('at int8 a row alone is to the last bit the row among seventy others', async t => {
  const engine = await tinyEngine(t, { precision: 'int8' })
  const batch = await goldenBatch(composeRows, 24)
  const together = await engine.run(batch)
  const logits = await logitsOf(engine, batch)
  for (const [row, only] of batch.rows.entries()) {
    if (row % 3 !== 0) continue
    const alone: Batch = { ...batch, rows: [only], mapping: [batch.mapping[row] ?? []] }
    assert.deepEqual(await engine.run(alone), [together[row]], composeRows[row]?.name)
    assert.deepEqual(await logitsOf(engine, alone), [logits[row]], composeRows[row]?.name)
  }
})

/** The values of an attribute in all nodes of this kind, bodies included. */
function attributes({ node }: GraphMessage, op: string, name: string): readonly number[] {
  return node.flatMap(({ opType, attribute }) =>
    attribute.flatMap(one => {
      if ('g' in one) return attributes(one.g, op, name)
      return opType === op && one.name === name && 'i' in one ? [one.i] : []
    }),
  )
}

test('every product of a linear is computed in int8, not widened first', async t => {
  const cache = await temporaryFolder(t)
  const data = { path: tinyLlama, device: 'cpu', precision: 'int8', template: 'raw', cache } as const
  const base = await openBaseModel({ ...data, threads: undefined, loraBytes: 0, runBytes: 0 }, () => undefined)
  const graph = scoringGraph(base.config, base.weights, [])
  // Five a layer, q, k and v being one, and the head.
  assert.deepEqual(attributes(graph, 'MatMulNBits', 'accuracy_level'), Array<number>(2 * 5 + 1).fill(4))
})

/** A model whose sizes are no multiples of a quantised block, of random weights. */
async function oddModel(t: TestContext): Promise<string> {
  const directory = join(await temporaryFolder(t), 'odd')
  await mkdir(directory)
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json'])
    await copyFile(join(tinyLlama, name), join(directory, name))
  const config: unknown = JSON.parse(await readFile(join(tinyLlama, 'config.json'), 'utf8'))
  assert.ok(isObject(config))
  const [hidden, inner, headDim, heads, kvHeads, vocabulary] = [40, 72, 12, 3, 1, 264]
  const sizes = {
    hidden_size: hidden,
    intermediate_size: inner,
    head_dim: headDim,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    num_hidden_layers: 1,
  }
  await writeFile(join(directory, 'config.json'), JSON.stringify({ ...config, ...sizes }))
  const block = 'model.layers.0'
  const shapes: Readonly<Record<string, readonly number[]>> = {
    'model.embed_tokens.weight': [vocabulary, hidden],
    'lm_head.weight': [vocabulary, hidden],
    'model.norm.weight': [hidden],
    [`${block}.input_layernorm.weight`]: [hidden],
    [`${block}.post_attention_layernorm.weight`]: [hidden],
    [`${block}.self_attn.q_proj.weight`]: [heads * headDim, hidden],
    [`${block}.self_attn.k_proj.weight`]: [kvHeads * headDim, hidden],
    [`${block}.self_attn.v_proj.weight`]: [kvHeads * headDim, hidden],
    [`${block}.self_attn.o_proj.weight`]: [hidden, heads * headDim],
    [`${block}.mlp.gate_proj.weight`]: [inner, hidden],
    [`${block}.mlp.up_proj.weight`]: [inner, hidden],
    [`${block}.mlp.down_proj.weight`]: [hidden, inner],
  }
  let state = 1
  const tensors = new Map(
    Object.entries(shapes).map(([name, shape]) => {
      const values = Float32Array.from({ length: shape.reduce((product, size) => product * size, 1) }, () => {
        state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
        return state / 0x7fffffff - 0.5
      })
      return [name, { shape, values }]
    }),
  )
  await writeFile(join(directory, 'model.safetensors'), safetensorsBytes(tensors))
  return directory
}

test('int8 stays close to float32 where no size is a multiple of a block', async t => {
  const rows = [1, 2, 3].map(step => greedyRow(tinyTokens(10 * step, step), 1))
  await assertClose(await oddModel(t), { rows, stack: [], mapping: rows.map(() => []) }, t)
})
