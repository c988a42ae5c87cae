import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { uniforms } from '../../src/infer/uniforms.ts'

const seeds = fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -3, max: 3 }), fc.integer())

test('uniforms: numbers in [0, 1) that a float32 holds, the same for the same seed, and a longer list goes on the shorter', () => {
  fc.assert(
    fc.property(seeds, fc.nat(300), (seed, count) => {
      const drawn = uniforms(seed, count)
      assert.equal(drawn.length, count)
      for (const value of drawn) assert.ok(value >= 0 && value < 1 && Number.isInteger(value * 2 ** 24), `${value}`)
      assert.deepEqual(uniforms(seed, count + 7).subarray(0, count), drawn)
    }),
  )
})

test('uniforms: neighbouring seeds, and seeds that share a half, begin differently', () => {
  const near = Array.from({ length: 200 }, (_, seed) => seed - 100)
  const high = Array.from({ length: 200 }, (_, seed) => (seed + 1) * 2 ** 32)
  const firsts = [...near, ...high].map(seed => uniforms(seed, 4).join())
  assert.equal(new Set(firsts).size, firsts.length)
})

/** Pearson's χ² of counts that should be equal. */
function chiSquare(counts: readonly number[]): number {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
}

/** Beyond the 99.99 % quantile of χ² with 15 degrees of freedom; the seeds are fixed, so this never fails by chance. */
const MOST = 45

test('uniforms: even along a seed, along the seeds at any step, and from one step to the next', () => {
  const histogram = (values: Iterable<number>): number[] => {
    const counts = Array<number>(16).fill(0)
    for (const value of values) counts[Math.floor(value * 16)] = (counts[Math.floor(value * 16)] ?? 0) + 1
    return counts
  }
  for (const seed of [0, 1, -1, 2 ** 40, Number.MAX_SAFE_INTEGER])
    assert.ok(chiSquare(histogram(uniforms(seed, 8000))) < MOST, `seed ${seed}`)
  const lists = Array.from({ length: 8000 }, (_, seed) => uniforms(seed, 6))
  for (const step of [0, 1, 2, 5]) assert.ok(chiSquare(histogram(lists.map(list => list[step] ?? NaN))) < MOST)
  // Pairs: four quarters of one step against four of the next.
  const pairs = lists.map(([one = 0, other = 0]) => (Math.floor(one * 4) * 4 + Math.floor(other * 4)) / 16)
  assert.ok(chiSquare(histogram(pairs)) < MOST)
})
