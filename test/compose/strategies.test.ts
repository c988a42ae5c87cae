import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { base, fusion, mixture, selection, strategies } from '../../src/compose/strategies.ts'
import type { Hit } from '../../src/lora.ts'
import { adapterNamed, retrievedHits, strategyContract } from '../contracts/strategy.ts'

for (const [name, compose] of Object.entries(strategies)) strategyContract(name, compose)

const [a, b, c] = [adapterNamed('a'), adapterNamed('b'), adapterNamed('c')]
const found: readonly Hit[] = [
  { adapter: c, score: 0.9 },
  { adapter: a, score: 0.8 },
  { adapter: b, score: 0.7 },
]
const named: readonly Hit[] = [
  { adapter: b, score: null, weight: 2 },
  { adapter: a, score: null, weight: -0.5 },
]

test('base ignores every hit', () => {
  assert.deepEqual(base(found), { strategy: 'BASE', mix: [], used: [] })
})

test('selection takes the best hit at weight 1', () => {
  const composition = selection(found)
  assert.equal(composition.strategy, 'SELECTION')
  assert.deepEqual(composition.mix, [{ lora: [{ adapter: c, weight: 1 }], weight: 1 }])
  assert.deepEqual(composition.used, [{ id: 'c', digest: c.digest, weight: 1, score: 0.9, rank: 8 }])
})

test('selection finds the best hit wherever it stands', () => {
  fc.assert(fc.property(retrievedHits, hits => assert.deepEqual(selection(hits.toReversed()), selection(hits))))
})

test('selection takes exactly the named adapters at the weights given', () => {
  const { mix, used } = selection(named)
  assert.deepEqual(
    mix.map(share => [share.lora[0]?.adapter.id, share.weight]),
    [
      ['b', 2],
      ['a', -0.5],
    ],
  )
  assert.deepEqual(
    used.map(entry => [entry.id, entry.weight, entry.score]),
    [
      ['b', 2, null],
      ['a', -0.5, null],
    ],
  )
})

test('mixture gives every hit a share of 1/k', () => {
  const { strategy, mix } = mixture(found)
  assert.equal(strategy, 'MIXTURE')
  assert.deepEqual(
    mix,
    [c, a, b].map(adapter => ({ lora: [{ adapter, weight: 1 }], weight: 1 / 3 })),
  )
})

test('mixture fills a missing weight with 1/k and takes the others as given', () => {
  const { mix } = mixture([
    { adapter: a, score: null, weight: 0.7 },
    { adapter: b, score: null },
  ])
  assert.deepEqual(
    mix.map(share => share.weight),
    [0.7, 0.5],
  )
})

test('fusion is one share whose parts carry the weights', () => {
  const { strategy, mix, used } = fusion(found)
  assert.equal(strategy, 'FUSION')
  assert.deepEqual(mix, [{ lora: [a, b, c].map(adapter => ({ adapter, weight: 1 / 3 })), weight: 1 }])
  assert.deepEqual(
    used.map(entry => entry.id),
    ['c', 'a', 'b'],
  )
})

test('fusion of the same set is the same LoRA in whatever order the hits come', () => {
  fc.assert(fc.property(retrievedHits, hits => assert.deepEqual(fusion(hits.toReversed()).mix, fusion(hits).mix)))
})

test('fusion takes given weights as they are', () => {
  assert.deepEqual(
    fusion(named).mix[0]?.lora.map(part => part.weight),
    [-0.5, 2],
  )
})
