import assert from 'node:assert/strict'
import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { ErrorData } from '../../src/errors.ts'
import type { Output } from '../../src/events.ts'
import type { Adapter, Lora } from '../../src/lora.ts'
import { planBuckets } from '../../src/infer/buckets.ts'
import type { OnnxEngine } from '../../src/infer/onnx-engine.ts'
import type { Batch } from '../../src/ports.ts'
import { greedyRow } from '../../src/row.ts'
import { golden } from '../support/golden.ts'
import { temporaryFolder, writeAdapter } from '../support/peft-files.ts'
import { admitted, alone, goldenAdapter, tinyEngine, tinyTokens } from '../support/tiny-engine.ts'

type Mixed = readonly { readonly lora: Lora; readonly weight: number }[]

/** The same prompt once for every mix. */
function batchOf(mixes: readonly Mixed[]): Batch {
  const stack = mixes.flat().map(({ lora }) => lora)
  let next = 0
  return {
    rows: mixes.map(() => greedyRow(tinyTokens(12, 37), 10)),
    stack,
    mapping: mixes.map(mix => mix.map(({ weight }) => ({ lora: next++, weight }))),
  }
}

async function answers(engine: OnnxEngine, ...mixes: readonly Mixed[]): Promise<readonly (Output | ErrorData)[]> {
  return await engine.run(batchOf(mixes))
}

/** A golden adapter copied to where a test may change it, admitted as it is there. */
async function copyOf(t: TestContext, name: string): Promise<Adapter> {
  const directory = join(await temporaryFolder(t), name)
  await cp(join(golden, 'adapters', name), directory, { recursive: true })
  return await admitted(directory)
}

const weightsOf = ({ directory }: Adapter): string => join(directory, 'adapter_model.safetensors')

/** Other weights of the same shapes: the last value's sign is turned. */
async function change(adapter: Adapter): Promise<void> {
  const bytes = await readFile(weightsOf(adapter))
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 0x80, bytes.length - 1)
  await writeFile(weightsOf(adapter), bytes)
}

const one = (adapter: Adapter, weight = 1): Mixed => [{ lora: alone(adapter), weight }]
const fusion = (parts: Lora): Mixed => [{ lora: parts, weight: 1 }]

const failures: Readonly<
  Record<string, { readonly spoil: (adapter: Adapter) => Promise<void>; readonly says: RegExp }>
> = {
  'whose files changed': { spoil: change, says: /changed on disk: its digest is sha256:.*, expected sha256:/ },
  'that vanished': {
    spoil: ({ directory }) => rm(directory, { recursive: true }),
    says: /adapter_config\.json: not found/,
  },
  'that lost its weights': { spoil: adapter => rm(weightsOf(adapter)), says: /adapter_model\.safetensors: not found/ },
  'that was cut short': {
    spoil: async adapter => {
      const bytes = await readFile(weightsOf(adapter))
      await writeFile(weightsOf(adapter), bytes.subarray(0, 1000))
    },
    says: /adapter_model\.safetensors: /,
  },
}

for (const [what, { spoil, says }] of Object.entries(failures)) {
  test(`an adapter ${what} costs the rows that mix it, in whatever part`, async t => {
    const engine = await tinyEngine(t, { precision: 'float32' })
    const good = await goldenAdapter('e_r8')
    const bad = await copyOf(t, 'f_r8')
    await spoil(bad)
    const [base, own] = await answers(engine, [], one(good))
    const results = await answers(
      engine,
      [],
      one(bad),
      one(good),
      [...one(good, 0.5), ...one(bad, 0.5)],
      fusion([
        { adapter: good, weight: 0.5 },
        { adapter: bad, weight: 0.5 },
      ]),
      one(good),
    )
    for (const row of [1, 3, 4]) {
      const result = results[row]
      assert.ok(result && 'code' in result, JSON.stringify(result))
      assert.equal(result.code, 'ADAPTER_INVALID')
      assert.match(result.message, says)
    }
    assert.deepEqual([results[0], results[2], results[5]], [base, own, own])
  })
}

test('an adapter for another base costs the rows that mix it', async t => {
  const engine = await tinyEngine(t, { precision: 'float32' })
  const foreign = await admitted(await writeAdapter(join(await temporaryFolder(t), 'foreign')))
  const [base, refused] = await answers(engine, [], one(foreign))
  assert.ok(base && 'text' in base)
  assert.ok(refused && 'code' in refused)
  assert.equal(refused.code, 'ADAPTER_INVALID')
  assert.match(
    refused.message,
    /lora_A of "model\.layers\.0\.self_attn\.q_proj" has shape \[2, 4\], expected \[2, 64\]/,
  )
})

test('an adapter that was trained again is another: the rows of both are answered each by its own', async t => {
  const engine = await tinyEngine(t, { precision: 'float32' })
  const before = await copyOf(t, 'd_r8_alpha32')
  const [first] = await answers(engine, one(before))
  const bytes = await readFile(join(golden, 'adapters', 'c_r16_rslora', 'adapter_model.safetensors'))
  await writeFile(weightsOf(before), bytes)
  await cp(
    join(golden, 'adapters', 'c_r16_rslora', 'adapter_config.json'),
    join(before.directory, 'adapter_config.json'),
  )
  const after = await admitted(before.directory)
  assert.notEqual(after.digest, before.digest)
  const [expected] = await answers(engine, one(await goldenAdapter('c_r16_rslora')))
  // The old one is still in memory.
  assert.deepEqual(await answers(engine, one(before), one(after)), [first, expected])
  assert.notDeepEqual(first, expected)
})

test('shares of one LoRA add up, and a share of weight 0 is none', async t => {
  const engine = await tinyEngine(t, { precision: 'float32' })
  const [a, b] = [await goldenAdapter('d_r8_alpha32'), await goldenAdapter('b_r8_qv')]
  const [base, whole, both] = await answers(engine, [], one(a), [...one(a), ...one(b)])
  const results = await answers(
    engine,
    one(a, 0),
    [...one(a, 0.25), ...one(a, 0.75)],
    [...one(a, 2), ...one(b, 0.5), ...one(a, -1), ...one(b, 0.5)],
    [...one(a), ...one(b, 0)],
  )
  assert.deepEqual(results, [base, whole, both, whole])
  assert.equal(new Set([base, whole, both].map(result => JSON.stringify(result))).size, 3)
})

test('weights beyond all measure cost their own row, and nobody later', async t => {
  const engine = await tinyEngine(t, { precision: 'float32' })
  const [a, small] = [await goldenAdapter('d_r8_alpha32'), await goldenAdapter('a_r4')]
  const huge = (weight: number): Mixed =>
    fusion([
      { adapter: a, weight },
      { adapter: small, weight },
    ])
  const results: (Output | ErrorData)[] = []
  for (const weight of [1e45, 1e30, -1e25]) results.push(...(await answers(engine, huge(weight), one(small), [])))
  results.push(...(await answers(engine, one(a, 1e300), one(small), [])))
  const fresh = await tinyEngine(t, { precision: 'float32' })
  const expected = await answers(fresh, one(small), [])
  for (const start of [0, 3, 6, 9]) assert.deepEqual(results.slice(start + 1, start + 3), expected)
  for (const row of [0, 3, 6]) {
    const result = results[row]
    assert.ok(result && 'code' in result, JSON.stringify(result))
    assert.equal(result.code, 'ADAPTER_INVALID')
    assert.match(result.message, /d_r8_alpha32 \(weight -?1e\+\d+\) \+ a_r4 .* has a value of .*, expected at most/)
  }
})

test('a mapping that points outside the stack costs its row', async t => {
  const engine = await tinyEngine(t, { precision: 'float32' })
  const [base] = await answers(engine, [])
  const row = greedyRow(tinyTokens(12, 37), 10)
  const [lost, kept] = await engine.run({ rows: [row, row], stack: [], mapping: [[{ lora: 0, weight: 1 }], []] })
  assert.deepEqual(lost, { code: 'STAGE_FAILED', message: 'row 0 mixes LoRA 0 of 0' })
  assert.deepEqual(kept, base)
})

test('a window of which a bucket was filled up answers each row as alone', async t => {
  const engine = await tinyEngine(t)
  const lora = alone(await goldenAdapter('e_r8'))
  const rows = Array.from({ length: 11 }, (_, row) => greedyRow(tinyTokens(90 + row, 37), 2))
  assert.ok(
    planBuckets(
      rows.map((_, row) => 90 + row),
      1,
    ).order.includes(null),
  )
  const batch = {
    rows: rows.toReversed(),
    stack: [lora],
    mapping: rows.map((_, row) => (row % 3 === 0 ? [{ lora: 0, weight: 1 }] : [])),
  }
  const together = await engine.run(batch)
  for (const [place, row] of batch.rows.entries()) {
    const [own] = await engine.run({ rows: [row], stack: [lora], mapping: [batch.mapping[place] ?? []] })
    assert.deepEqual(together[place], own, `row ${place}`)
  }
})
