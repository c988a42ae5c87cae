import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { adaptive, base, fusion, mixture, selection, strategies } from '../../src/compose/strategies.ts'
import type { Hit } from '../../src/lora.ts'
import type { Composition } from '../../src/ports.ts'
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

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)

const rounded = (mix: Composition['mix']): unknown =>
  mix.map(({ lora, weight }) => [lora[0]?.adapter.id, Math.round(weight * 1e3) / 1e3])

function confident(...confidences: readonly number[]): readonly Hit[] {
  return [c, a, b].map((adapter, index) => ({ adapter, score: 0.9 - index / 10, confidence: confidences[index] ?? 0 }))
}

test('adaptive takes an adapter that is surely the own one alone, as selection does', () => {
  assert.deepEqual(adaptive(confident(0.97, 0.01, 0)), selection(found))
})

test('adaptive is the uniform mixture where nothing is known', () => {
  assert.deepEqual(adaptive(found), mixture(found))
})

test('adaptive gives three quarters in equal parts to strangers that are all as unlikely', () => {
  const { strategy, mix } = adaptive(confident(0, 0, 0))
  assert.equal(strategy, 'MIXTURE')
  assert.deepEqual(rounded(mix), [
    ['a', 0.25],
    ['b', 0.25],
    ['c', 0.25],
  ])
})

test('adaptive in between adds to each confidence its part of three quarters of what is uncertain, by its eighth root', () => {
  // Roots 0.6, 0.5 and 0.4 share 0.75 · 0.9786.
  assert.deepEqual(rounded(adaptive(confident(0.6 ** 8, 0.5 ** 8, 0.4 ** 8)).mix), [
    ['c', 0.31],
    ['a', 0.249],
    ['b', 0.196],
  ])
})

test('adaptive leaves out the lightest tenth, and shares its weight among the rest', () => {
  // Roots 0.6, 0.6 and 0.1 share 0.75 · 0.9664: the last has 0.056 of 0.758.
  assert.deepEqual(rounded(adaptive(confident(0.6 ** 8, 0.6 ** 8, 0.1 ** 8)).mix), [
    ['a', 0.379],
    ['c', 0.379],
  ])
})

test('adaptive keeps the weights that a prompt gave', () => {
  assert.deepEqual(adaptive(named), mixture(named))
})

test('adaptive is the same in whatever order the hits come, and its weights sum to 1 less a quarter of what is uncertain and are none below 0', () => {
  fc.assert(
    fc.property(
      retrievedHits,
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 8, maxLength: 8 }),
      (hits, given) => {
        const total = Math.max(1, sum(given))
        const known = hits.map((hit, index) => ({ ...hit, confidence: (given[index] ?? 0) / total }))
        const { mix } = adaptive(known)
        const byId = (composition: ReturnType<typeof adaptive>) =>
          new Map(composition.mix.map(({ lora, weight }) => [lora[0]?.adapter.id, weight.toFixed(9)]))
        assert.deepEqual(byId(adaptive(known.toReversed())), byId({ ...adaptive(known) }))
        assert.ok(mix.every(({ weight }) => weight > 0 && weight <= 1 + 1e-12))
        const certain = sum(known.map(({ confidence }) => confidence))
        const whole = mix.length === 1 ? 1 : 1 - (1 - certain) / 4
        if (hits.length > 0) assert.ok(Math.abs(sum(mix.map(({ weight }) => weight)) - whole) < 1e-9)
      },
    ),
  )
})
