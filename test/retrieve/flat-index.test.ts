import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flat } from '../../src/retrieve/flat-index.ts'
import { ask, uniforms, unit, vectorIndexContract } from '../contracts/vector-index.ts'

vectorIndexContract('flat', flat, 1)

test('equal scores come in the order of their keys, whatever order they were added in', () => {
  const index = flat()
  for (const key of ['c', 'a', 'd', 'b']) index.add(key, unit([1, 0]))
  assert.deepEqual(
    ask(index, unit([1, 0]), 3, new Set()).map(({ key }) => key),
    ['a', 'b', 'c'],
  )
})

test('vectors that rounding cannot tell apart are told apart, whatever their length and dimension', () => {
  const next = uniforms(5)
  for (const dimension of [1, 2, 7, 8, 10, 63, 64, 300])
    for (const size of [1e-3, 1, 1e3]) {
      const draw = (spread: number): Float32Array =>
        Float32Array.from({ length: dimension }, () => size * (1 + spread * (next() - 0.5)))
      const vectors = Array.from({ length: 200 }, () => draw(1e-5))
      // One that is far longer and one that is nothing must not blur the others.
      vectors.push(
        draw(1).map(value => -100 * value),
        new Float32Array(dimension),
      )
      const index = flat()
      for (const [at, vector] of vectors.entries()) index.add(String(at), vector)
      const query = draw(1)
      const exact = vectors
        .map(vector => vector.reduce((sum, value, at) => sum + value * (query[at] ?? 0), 0))
        .toSorted((one, other) => other - one)
      const found = ask(index, query, 20, new Set())
      assert.equal(found.length, 20)
      assert.deepEqual(ask(index, query, 1, new Set()), found.slice(0, 1))
      for (const [place, { key, score }] of found.entries()) {
        const own = (vectors[Number(key)] ?? query).reduce((sum, value, at) => sum + value * (query[at] ?? 0), 0)
        const least = 1e-6 * size ** 2 * dimension
        assert.ok(Math.abs(score - own) <= least, `${dimension}, ${size}: ${score}, expected ${own}`)
        assert.ok(own >= (exact[place] ?? NaN) - least, `${dimension}, ${size}: ${own} at ${place}, ${exact[place]}`)
      }
    }
})
