import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cosine, innerProduct } from '../../src/retrieve/linear-scorers.ts'
import { hnsw } from '../../src/retrieve/hnsw-index.ts'
import { ask, scorerContract } from '../contracts/scorer.ts'

scorerContract('cosine', () => cosine())
scorerContract('cosine over hnsw', () => cosine({ index: hnsw() }))
scorerContract('inner product', () => innerProduct())

test('the inner product draws prompts to adapters whose samples lie close together, the cosine does not', () => {
  const sample = (x: number, y: number) => ({ text: '', vector: Float32Array.of(x, y) })
  const [plain, paper] = [innerProduct(), cosine()]
  for (const scorer of [plain, paper]) {
    scorer.add('tight', [sample(1, 0), sample(1, 0)])
    scorer.add('wide', [sample(0, 1), sample(0.96, -0.28)])
  }
  const query = { text: '', vector: Float32Array.of(0.8, 0.6) }
  const [first] = ask(plain, query, 1, new Set())
  assert.equal(first?.key, 'tight')
  assert.ok(Math.abs((first?.score ?? 0) - 0.8) < 1e-6)
  assert.equal(ask(paper, query, 1, new Set())[0]?.key, 'wide')
})
