import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { firstOfEach, readItems } from '../../src/cli/evaluate/generation-items.ts'
import { temporaryFolder } from '../support/peft-files.ts'

const item = { adapter: 'a', cluster: 'c', metric: 'em', text: 'Is it?', target: 'yes' }

async function written(t: TestContext, ...rows: readonly (string | object)[]): Promise<string> {
  const path = join(await temporaryFolder(t), 'data.jsonl')
  await writeFile(path, rows.map(row => (typeof row === 'string' ? row : JSON.stringify(row))).join('\n'))
  return path
}

test('items: a line each, blank ones skipped, their numbers kept', async t => {
  const items = await readItems(await written(t, item, '', { ...item, metric: 'rouge-l', note: 'left alone' }))
  assert.deepEqual(items, [
    { ...item, line: 1 },
    { ...item, metric: 'rouge-l', line: 3 },
  ])
})

test('items: bad lines are refused by line and field', async t => {
  for (const [row, message] of [
    ['{', / line 2 is not JSON/],
    ['[]', / line 2 is \[\], expected a JSON object/],
    [{ ...item, metric: 'bleu' }, / line 2: metric is bleu, expected "em" or "rouge-l"/],
    [{ ...item, text: undefined }, / line 2: text is absent, expected a text/],
    [{ ...item, target: '' }, / line 2: target is empty, expected a text/],
    [{ ...item, target: 3 }, / line 2: target is 3, expected a text/],
    [{ ...item, adapter: ' ' }, / line 2: adapter is .*, expected a name/],
    [{ ...item, cluster: 'x'.repeat(200) }, / line 2: cluster has 200 characters, expected at most 128/],
  ] as const) {
    const path = await written(t, item, row)
    await assert.rejects(readItems(path), { code: 'SCHEMA_MISMATCH', message })
  }
})

test('items: an empty file and a missing one have their own errors', async t => {
  await assert.rejects(readItems(await written(t, '')), { code: 'SCHEMA_MISMATCH', message: /no items/ })
  await assert.rejects(readItems('/nowhere.jsonl'), {
    code: 'TRANSPORT_FAILED',
    message: /^\/nowhere.jsonl cannot be read/,
  })
})

test('items: the first of each adapter, in the order of the file', () => {
  const items = ['a', 'b', 'a', 'a', 'b'].map((adapter, index) => ({
    ...item,
    metric: 'em' as const,
    adapter,
    line: index + 1,
  }))
  assert.deepEqual(
    firstOfEach(items, 2).map(({ line }) => line),
    [1, 2, 3, 5],
  )
})
