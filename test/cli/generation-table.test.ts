import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GenerationResult } from '../../src/cli/evaluate/generation-result.ts'
import { describe, titleOf } from '../../src/cli/evaluate/generation-result.ts'
import { markdownOf, tableRows } from '../../src/cli/evaluate/generation-table.ts'
import { reportOf } from '../../src/cli/evaluate/generation-report.ts'
import { digestOf } from '../support/fakes.ts'

const result: GenerationResult = {
  mode: 'ood',
  strategy: 'mixture',
  k: 3,
  weights: 'uniform',
  tau: null,
  scorer: 'cosine',
  maxTokens: 40,
  ...reportOf([
    { item: { line: 1, adapter: 'a', cluster: 'c', metric: 'em', text: 'x', target: 'y' }, score: 50, perfect: 100 },
  ]),
  data: 'items.jsonl',
  engine: { name: 'echo', version: '1', device: 'cpu', precision: 'int8', base: { id: 'b', digest: digestOf('b') } },
  date: '2026-11-24',
  tokensPerSecond: null,
}

test('table: base, perfect selection, and every strategy for k = 1, 3 and 5 with the own adapter and without', () => {
  const names = tableRows.map(({ name }) => name)
  assert.equal(new Set(names).size, names.length)
  for (const mode of ['iid', 'ood'])
    for (const name of ['selection', ...[1, 3, 5].flatMap(k => [`mixture-k${k}`, `fusion-k${k}`]), 'adaptive-k8'])
      assert.ok(names.includes(`${name}-${mode}`), `${name}-${mode}`)
  assert.ok(names.includes('base') && names.includes('perfect'))
})

test('table: a row in Markdown has its scores and both intervals', () => {
  const [, , row] = markdownOf([result]).split('\n')
  assert.equal(row, '| mixture, k = 3, OOD | 50.0 | 50.0 to 50.0 | 50.0 | 50.0 to 50.0 |')
  assert.match(markdownOf([{ ...result, normalised: null, normalisedInterval: null }]), /\| 50.0 to 50.0 \| - \| - \|/)
})

test('titles say what makes a difference, and nothing else', () => {
  assert.equal(titleOf({ ...result, mode: 'perfect' }), 'perfect selection')
  assert.equal(titleOf({ ...result, strategy: 'base' }), 'base')
  assert.equal(titleOf({ ...result, weights: 'softmax', tau: 0.05 }), 'mixture, k = 3, softmax weights at 0.05, OOD')
})

test('a description has a line for every cluster, and says where every answer was stored', () => {
  const lines = describe(result).split('\n')
  assert.match(lines.find(line => line.startsWith('c ')) ?? '', /50\.0\s+100\.0\s+50\.0/)
  assert.equal(lines.at(-1), 'every answer was stored')
  assert.match(describe({ ...result, tokensPerSecond: 51.6 }), /52 new tokens\/s$/)
})
