import assert from 'node:assert/strict'
import { appendFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { answerKey, openAnswers } from '../../src/cli/evaluate/generation-answers.ts'
import type { Item } from '../../src/cli/evaluate/generation-items.ts'
import { evaluateGeneration, type Trial } from '../../src/cli/evaluate/generation-run.ts'
import { mixture, selection } from '../../src/compose/strategies.ts'
import { adapter as adapterOf, echoEngine } from '../support/fakes.ts'
import { temporaryFolder } from '../support/peft-files.ts'
import { added, caughtUp, nothing, openFor, script } from '../support/pools.ts'

/** What the echo says with the item's own adapter alone is what is wanted of it. */
const items: readonly Item[] = ['red fox', 'blue sea'].map((text, index) => {
  const adapter = text.split(' ')[0] ?? ''
  return { line: index + 1, adapter, cluster: 'colours', metric: 'rouge-l', text, target: `${text} [1*${adapter}]` }
})

const options = {
  data: 'data.jsonl',
  maxTokens: 20,
  window: 8,
  onProgress: nothing,
  signal: new AbortController().signal,
}
const trial = (mode: Trial['mode'], compose = selection, k = 1): Trial => ({ mode, compose, k })

async function parts(t: TestContext) {
  const pool = await openFor(t, { source: script(added('red', 'red fox'), added('blue', 'blue sea'), caughtUp) })
  return { pool, engine: echoEngine() }
}

test('evaluate: perfect selection scores what the own adapter scores', async t => {
  const { overall, perfect, normalised } = await evaluateGeneration(
    items,
    trial('perfect'),
    await parts(t),
    await openAnswers(),
    options,
  )
  assert.deepEqual([overall, perfect, normalised], [100, 100, 100])
})

test('evaluate: in the pool the nearest is the own adapter; out of it the own adapter is masked', async t => {
  const iid = await evaluateGeneration(items, trial('iid'), await parts(t), await openAnswers(), options)
  assert.equal(iid.normalised, 100)
  const resources = await parts(t)
  const ood = await evaluateGeneration(items, trial('ood'), resources, await openAnswers(), options)
  assert.equal(ood.perfect, 100)
  // Of "red fox 1 red" three words of four are kept.
  assert.equal(ood.overall, 75)
})

test('evaluate: mixes and prompts that were answered before are not answered again, nor in a later run', async t => {
  const path = join(await temporaryFolder(t), 'answers', 'kept.jsonl')
  const resources = await parts(t)
  const first = await evaluateGeneration(items, trial('iid'), resources, await openAnswers(path), options)
  // Selection picked the own adapters, as perfect selection did: two rows, not four.
  assert.equal(resources.engine.batches.flatMap(({ rows }) => rows).length, 2)
  // As a process leaves it that is killed while it writes.
  await appendFile(path, '{"key":"cut of')
  const again = await evaluateGeneration(items, trial('iid'), resources, await openAnswers(path), options)
  assert.equal(resources.engine.batches.length, 1)
  assert.deepEqual({ ...again, pace: first.pace }, first)
  assert.equal(again.pace.newTokens, 0)
  assert.equal((await readFile(path, 'utf8')).split('\n').length, 3)
})

test('evaluate: another mix of the same prompt is another answer', async t => {
  const resources = await parts(t)
  const store = await openAnswers()
  await evaluateGeneration(items, trial('iid'), resources, store, options)
  await evaluateGeneration(items, trial('iid', mixture, 2), resources, store, options)
  assert.equal(resources.engine.batches.length, 2)
})

test('evaluate: another template of the same prompt is another answer, and stored ones are of the default', async t => {
  const path = join(await temporaryFolder(t), 'kept.jsonl')
  const resources = await parts(t)
  const run = async (template?: 'chat' | 'raw') =>
    await evaluateGeneration(items, trial('perfect'), resources, await openAnswers(path), {
      ...options,
      ...(template !== undefined && { template }),
    })
  await run()
  await run('raw')
  assert.equal(resources.engine.batches.length, 2)
  for (const template of ['chat', 'raw', undefined] as const) assert.equal((await run(template)).pace.newTokens, 0)
  assert.equal(resources.engine.batches.length, 2)
  const mix = [{ lora: [{ adapter: adapterOf('red'), weight: 1 }], weight: 1 }]
  // As files have it that were written before there was a template in the key.
  assert.equal(
    answerKey(echoEngine(), { value: { text: 'red fox', maxTokens: 20 }, mix }),
    '1cdaaf27be93354dc9ffc9a82fe648773b7a7945e6b8f161c71f005785a53cca',
  )
})

test('evaluate: of an exact match no more tokens are asked for than could be one', async t => {
  const resources = await parts(t)
  const exact: readonly Item[] = items.map(item => ({ ...item, metric: 'em', target: 'yes' }))
  await evaluateGeneration([...exact, ...items], trial('perfect'), resources, await openAnswers(), options)
  assert.deepEqual(
    resources.engine.batches.flatMap(({ rows }) => rows.map(({ maxTokens }) => maxTokens)).toSorted((a, b) => a - b),
    [7, 7, 20, 20],
  )
})

test('evaluate: an adapter that the pool has not is named with its line; a refused row fails with its code', async t => {
  const [one] = items
  assert.ok(one)
  const resources = await parts(t)
  const run = async (item: Item) =>
    evaluateGeneration([one, item], trial('ood'), resources, await openAnswers(), options)
  await assert.rejects(run({ ...one, line: 7, adapter: 'green' }), {
    code: 'ADAPTER_UNKNOWN',
    message: 'data.jsonl line 7: adapter "green" is not in the pool',
  })
  await assert.rejects(run({ ...one, text: 'refuse me' }), { code: 'PROMPT_TOO_LONG' })
})
