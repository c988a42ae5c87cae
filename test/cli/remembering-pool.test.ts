import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rememberingPool } from '../../src/cli/evaluate/remembering-pool.ts'
import { openAnswers } from '../../src/cli/evaluate/generation-answers.ts'
import { evaluateGeneration } from '../../src/cli/evaluate/generation-run.ts'
import { tableRows } from '../../src/cli/evaluate/generation-table.ts'
import { strategies } from '../../src/compose/strategies.ts'
import { adapter, echoEngine, fixedPool } from '../support/fakes.ts'
import { nothing, query } from '../support/pools.ts'

test('the same queries are asked once; another text, k, exclusion or name is another query', async () => {
  const inner = fixedPool([adapter('a'), adapter('b')])
  const pool = rememberingPool(inner)
  const asked = [
    [query('one')],
    [query('one'), query('one')],
    [query('two')],
    [query('one', { k: 1 })],
    [query('one', { exclude: ['a'] })],
    [query('one', { adapters: [{ id: 'b' }] })],
  ]
  for (const queries of [...asked, ...asked])
    assert.deepEqual(await pool.retrieve(queries), await fixedPool([adapter('a'), adapter('b')]).retrieve(queries))
  assert.deepEqual(inner.calls, asked)
})

test('what fails is asked again', async () => {
  const inner = fixedPool([adapter('a')])
  let fails = true
  const pool = rememberingPool({
    ...inner,
    async retrieve(queries) {
      if (fails) throw new Error('the pool is gone')
      return await inner.retrieve(queries)
    },
  })
  await assert.rejects(pool.retrieve([query('one')]), /the pool is gone/)
  fails = false
  assert.equal((await pool.retrieve([query('one')])).pool.size, 1)
})

test('a whole table retrieves once for each k and mode, and as without remembering', async () => {
  const inner = fixedPool(['a', 'b', 'c'].map(id => adapter(id)))
  const items = [
    { line: 1, adapter: 'a', cluster: 'c', metric: 'rouge-l' as const, text: 'red fox', target: 'red fox' },
  ]
  const options = { data: 'x', maxTokens: 9, window: 4, onProgress: nothing, signal: new AbortController().signal }
  const scores = async (pool: typeof inner | ReturnType<typeof rememberingPool>): Promise<readonly number[]> => {
    const [found, store] = [[] as number[], await openAnswers()]
    for (const { mode, strategy, k } of tableRows) {
      const trial = { mode, compose: strategies[strategy], k: strategy === 'base' ? 0 : k }
      const { overall } = await evaluateGeneration(items, trial, { pool, engine: echoEngine() }, store, options)
      found.push(overall)
    }
    return found
  }
  const once = await scores(rememberingPool(inner))
  // The own adapter, nothing for the base, and 1, 3, 5 and adaptive's 8 with it and without.
  assert.equal(inner.calls.length, 10)
  assert.deepEqual(once, await scores(fixedPool(['a', 'b', 'c'].map(id => adapter(id)))))
})
