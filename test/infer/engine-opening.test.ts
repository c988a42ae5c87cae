import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { ConfigError, ModelError, UnsupportedModelError } from '../../src/errors.ts'
import { onnxEngine, type OnnxEngineOptions } from '../../src/infer/onnx-engine.ts'
import type { Batch } from '../../src/ports.ts'
import { greedyRow } from '../../src/row.ts'
import { temporaryFolder } from '../support/peft-files.ts'
import { alone, goldenAdapter, tinyEngine, tinyLlama, tinyTokens } from '../support/tiny-engine.ts'

const refusals: readonly (readonly [given: Readonly<Record<string, unknown>>, message: RegExp])[] = [
  [{ device: 'tpu' }, /^onnxEngine: device is 'tpu', expected cpu, cuda, webgpu$/],
  [{ precision: 'int4' }, /^onnxEngine: precision is 'int4', expected int8, float32$/],
  [{ template: 'alpaca' }, /^onnxEngine: template is 'alpaca', expected chat, raw$/],
  [{ threads: 0 }, /^onnxEngine: threads is 0, expected/],
  [{ threads: 1.5 }, /^onnxEngine: threads is 1\.5, expected/],
  [{ loraBytes: -1 }, /^onnxEngine: loraBytes is -1, expected/],
  [{ runBytes: NaN }, /^onnxEngine: runBytes is NaN, expected/],
]

test('an option that cannot work is refused by name, before anything is opened', async t => {
  const cache = join(await temporaryFolder(t), 'never')
  for (const [given, message] of refusals) {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what a configuration in JavaScript may say
    const options = { template: 'raw', cache, ...given } as OnnxEngineOptions
    await assert.rejects(onnxEngine(tinyLlama, options), error => {
      assert.ok(error instanceof ConfigError, String(error))
      assert.match(error.message, message)
      return true
    })
  }
  await assert.rejects(readdir(cache), { code: 'ENOENT' })
})

test('a model that is not there, and one without a chat template, are named', async t => {
  const cache = await temporaryFolder(t)
  const missing = join(cache, 'no-model')
  await assert.rejects(onnxEngine(missing, { cache }), error => {
    assert.ok(error instanceof ModelError)
    assert.match(error.message, /no-model: no such model directory or file/)
    return true
  })
  await assert.rejects(onnxEngine(tinyLlama, { cache }), error => {
    assert.ok(error instanceof UnsupportedModelError)
    assert.match(error.message, /tiny-llama: has no chat template, .* "raw" only/)
    return true
  })
})

/** A mixed batch that a wrong weight anywhere would change. */
async function batch(): Promise<Batch> {
  const adapter = await goldenAdapter('d_r8_alpha32')
  const rows = [1, 2, 3].map(step => greedyRow(tinyTokens(10, step), 12))
  return { rows, stack: [alone(adapter)], mapping: [[], [{ lora: 0, weight: 1 }], [{ lora: 0, weight: 0.5 }]] }
}

test('engines that convert one model at the same time answer alike, and leave one file', async t => {
  const cache = await temporaryFolder(t)
  const engines = await Promise.all([1, 2, 3].map(() => tinyEngine(t, { cache, precision: 'int8' })))
  const given = await batch()
  const later = await tinyEngine(t, { cache, precision: 'int8' })
  const expected = await (await tinyEngine(t, { precision: 'int8' })).run(given)
  for (const engine of [...engines, later]) assert.deepEqual(await engine.run(given), expected)
  const files = await readdir(join(cache, 'weights'))
  assert.equal(files.length, 1, files.join())
})

test('progress is told while weights are converted, and not when the cache has them', async t => {
  const cache = await temporaryFolder(t)
  const told: (readonly [done: number, total: number])[] = []
  const options = {
    cache,
    precision: 'int8',
    onProgress: (done: number, total: number) => void told.push([done, total]),
  } as const
  await tinyEngine(t, options)
  assert.deepEqual(
    told,
    Array.from({ length: 21 }, (_, index) => [index + 1, 21]),
  )
  await tinyEngine(t, options)
  assert.equal(told.length, 21)
})

test('threads, and memory for a window in one run or in several, change no answer', async t => {
  const given = await batch()
  const expected = await (await tinyEngine(t, { precision: 'float32' })).run(given)
  const runs: number[] = []
  const onRun = (ms: number): void => void runs.push(ms)
  for (const [options, count] of [
    [{ threads: 1 }, 1],
    [{ runBytes: 0 }, 3],
    [{ loraBytes: 0 }, 1],
  ] as const) {
    const engine = await tinyEngine(t, { precision: 'float32', ...options, onRun })
    assert.deepEqual(await engine.run(given), expected)
    assert.equal(runs.splice(0).length, count)
  }
})
