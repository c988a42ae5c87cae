import assert from 'node:assert/strict'
import { test } from 'node:test'
import { firstValueFrom, of } from 'rxjs'
import type { Answered, Prompt, Window } from '../../src/events.ts'
import { compose } from '../../src/compose/compose.ts'
import { infer } from '../../src/infer/infer.ts'
import type { Engine } from '../../src/ports.ts'
import { retrieve } from '../../src/retrieve/retrieve.ts'
import { window } from '../../src/window/window.ts'
import { adapter, echoEngine, fixedPool, message } from '../support/fakes.ts'

async function answered(values: readonly Prompt[], engine: Engine): Promise<Window<Answered>> {
  const pool = fixedPool(['a', 'b', 'c'].map(id => adapter(id)))
  const source = of(...values.map((value, offset) => message(value, offset)))
  return firstValueFrom(
    source.pipe(window({ size: values.length, ms: 1000 }), retrieve(pool, { k: 2 }), compose('mixture'), infer(engine)),
  )
}

test('infer: a window is one run, and every row gets its own answer from its own adapters', async () => {
  const engine = echoEngine()
  const { items, ms } = await answered(
    [{ text: 'one' }, { text: 'two', k: 1 }, { text: 'three', strategy: 'base' }],
    engine,
  )
  assert.equal(engine.batches.length, 1)
  assert.match(items[0]?.output.text ?? '', /^one \[0\.5\*[ab] \+ 0\.5\*[ab]\]$/)
  assert.equal(items[1]?.output.text, 'two [1*a]')
  assert.equal(items[2]?.output.text, 'three []')
  assert.ok(items.every(item => item.engine === engine.facts && item.distinctAdapters === 2))
  assert.ok((ms.infer ?? -1) >= 0)
})

test('infer: a row that the engine refuses fails alone', async () => {
  const engine = echoEngine()
  const { items, failed } = await answered([{ text: 'good' }, { text: 'refuse me' }], engine)
  assert.equal(engine.batches.length, 1)
  assert.equal(items.length, 1)
  assert.deepEqual(
    failed.map(({ code, stage }) => [code, stage]),
    [['PROMPT_TOO_LONG', 'infer']],
  )
})

test('infer: a run that breaks is tried in halves, and the others are answered', async () => {
  const engine = echoEngine()
  const texts = ['a', 'b', 'c', 'd', 'e', 'break the run', 'g', 'h']
  const { items, failed } = await answered(
    texts.map(text => ({ text })),
    engine,
  )
  assert.deepEqual(
    items.map(({ row, value }) => [row, value.text]),
    texts.map((text, row) => [row, text]).filter(([row]) => row !== 5),
  )
  assert.deepEqual(
    failed.map(({ reason, message: { origin } }) => [reason, origin.offset]),
    [['the run broke', 5n]],
  )
  // 8, then 4 + 4, 2 + 2 and 1 + 1: not one by one.
  assert.deepEqual(
    engine.batches.map(({ rows }) => rows.length),
    [8, 4, 4, 2, 1, 1, 2],
  )
})

test('infer: an engine that answers too few rows loses nobody', async () => {
  const echo = echoEngine()
  const short: Engine = { ...echo, run: async batch => (await echo.run(batch)).slice(1) }
  const { items, failed } = await answered([{ text: 'a' }, { text: 'b' }], short)
  assert.equal(items.length + failed.length, 2)
  assert.match(failed[0]?.reason ?? '', /echo answered 0 of 1 rows/)
})
