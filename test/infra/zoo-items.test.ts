import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { zooItems } from '../../infra/zoo-items.ts'
import { readItems } from '../../src/cli/evaluate/generation-items.ts'
import { temporaryFolder } from '../support/peft-files.ts'

const row = { task: 'quarel', cluster: 'multiple_choice', metric: 'em', prompt: 'Which one?', target: 'A' }

test('zoo items: a test line of the zoo becomes one that evaluate generation takes', async t => {
  const folder = await temporaryFolder(t)
  const [from, to] = [join(folder, 'test.jsonl'), join(folder, 'items.jsonl')]
  await writeFile(from, [row, { ...row, metric: 'rougeL' }].map(one => JSON.stringify(one)).join('\n'))
  const items: unknown[] = []
  for await (const item of zooItems(from)) items.push(item)
  await writeFile(to, items.map(item => JSON.stringify(item)).join('\n'))
  const expected = { adapter: 'quarel', cluster: 'multiple_choice', text: 'Which one?', target: 'A' }
  assert.deepEqual(await readItems(to), [
    { ...expected, metric: 'em', line: 1 },
    { ...expected, metric: 'rouge-l', line: 2 },
  ])
})

test('zoo items: a line that is something else is refused by line and field', async t => {
  const path = join(await temporaryFolder(t), 'test.jsonl')
  await writeFile(path, JSON.stringify({ ...row, metric: 'bleu' }))
  await assert.rejects(zooItems(path).next(), { code: 'SCHEMA_MISMATCH', message: /line 1: metric is bleu, expected/ })
  await writeFile(path, JSON.stringify({ ...row, target: undefined }))
  await assert.rejects(zooItems(path).next(), { message: /line 1: target is absent, expected a string/ })
})
