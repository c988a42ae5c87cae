import assert from 'node:assert/strict'
import { join } from 'node:path'
import { report } from 'node:process'
import { test } from 'node:test'
import { isObject } from '../../src/hf/json.ts'
import type { Batch } from '../../src/ports.ts'
import { onnxEncoder } from '../../src/retrieve/onnx-encoder.ts'
import { greedyRow } from '../../src/row.ts'
import { tinyEngine, tinyTokens } from '../support/tiny-engine.ts'

const tinyEncoder = join(import.meta.dirname, '../fixtures/encoder/tiny')

/** A window that takes the small model some second. */
const long: Batch = {
  rows: Array.from({ length: 32 }, (_, index) => greedyRow(tinyTokens(8, index + 1), 248)),
  stack: [],
  mapping: Array.from({ length: 32 }, () => []),
}

/** The ids of this process's worker threads; all of them must be idle. */
function threads(): readonly number[] {
  const found: unknown = report.getReport()
  assert.ok(isObject(found) && Array.isArray(found['workers']))
  return found['workers'].map((worker: unknown) => {
    assert.ok(isObject(worker) && isObject(worker['header']))
    return Number(worker['header']['threadId'])
  })
}

test('a timer of 10 ms goes on while a window runs', async t => {
  const engine = await tinyEngine(t, { precision: 'float32' })
  await engine.run({ ...long, rows: long.rows.slice(0, 1), mapping: [[]] })
  let ticks = 0
  const timer = setInterval(() => (ticks += 1), 10)
  t.after(() => clearInterval(timer))
  let [elapsed, windows] = [0, 0]
  // As many at once as it takes to be told from an idle thread, on a fast machine too.
  for (let count = 1; elapsed < 500; count *= 2) {
    ticks = 0
    windows = count
    const started = performance.now()
    await Promise.all(Array.from({ length: windows }, () => engine.run(long)))
    elapsed = performance.now() - started
  }
  // A busy machine delays timers; a run in this thread would let none through but between windows.
  assert.ok(ticks > windows + elapsed / 50, `${ticks} ticks in ${elapsed} ms`)
})

test('every engine and every encoder has a thread of its own, which ends with it', async t => {
  const before = threads()
  const engine = await tinyEngine(t)
  const encoder = await onnxEncoder(tinyEncoder)
  const other = await tinyEngine(t)
  assert.equal(threads().length, before.length + 3)
  await other.close()
  await encoder.close()
  assert.equal(threads().length, before.length + 1)
  await engine.close()
  assert.deepEqual(threads(), before)
})

test('texts are encoded while windows run', async t => {
  const engine = await tinyEngine(t, { precision: 'float32' })
  const encoder = await onnxEncoder(tinyEncoder)
  t.after(() => encoder.close())
  await encoder.encode(['warm'])
  const order: string[] = []
  const windows = Promise.all([engine.run(long), engine.run(long)]).then(() => order.push('windows'))
  for (const text of ['first', 'second', 'third']) {
    await encoder.encode([text])
    order.push(text)
  }
  await windows
  assert.deepEqual(order, ['first', 'second', 'third', 'windows'])
})
