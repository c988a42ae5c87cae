import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WithinCovariance } from '../../src/retrieve/within-covariance.ts'
import { clusteredVectors, unit } from '../contracts/vector-index.ts'

const [dimension, classes, each] = [6, 5, 8]
const keys = Array.from({ length: classes }, (_, at) => `class ${at}`)
const all = clusteredVectors(classes * each, dimension, classes, 3)
const own = (at: number): readonly Float32Array[] => all.filter((_, place) => place % classes === at)
const query = unit([1, -2, 3, 0.5, 0, 1])

function filled(shrinkage: number, fitOn?: ReadonlySet<string>): WithinCovariance {
  const gaussian = new WithinCovariance({ shrinkage, fitOn })
  for (const [at, key] of keys.entries()) gaussian.add(key, own(at))
  return gaussian
}

/** (q−μ)ᵀW⁻¹(m−μ) − ½(m−μ)ᵀW⁻¹(m−μ) by elimination, W made of all samples from scratch. */
function direct(shrinkage: number, which: readonly number[]): readonly number[] {
  const means = keys.map((_, at) => meanOf(own(at)))
  const w = Array.from({ length: dimension }, () => Array.from({ length: dimension }, () => 0))
  for (const at of which)
    for (const vector of own(at))
      for (const [i, row] of w.entries())
        for (let j = 0; j < dimension; j += 1)
          row[j] =
            (row[j] ?? 0) +
            (((vector[i] ?? 0) - (means[at]?.[i] ?? 0)) * ((vector[j] ?? 0) - (means[at]?.[j] ?? 0))) /
              (which.length * each)
  const trace = w.reduce((sum, row, at) => sum + (row[at] ?? 0), 0)
  for (const [at, row] of w.entries()) row[at] = (row[at] ?? 0) + (shrinkage * trace) / dimension
  const middle = meanOf(means)
  const q = Array.from(query, (value, at) => value - (middle[at] ?? 0))
  return means.map(mean => {
    const m = mean.map((value, at) => value - (middle[at] ?? 0))
    const x = eliminate(w, m)
    const dot = (one: readonly number[]): number => one.reduce((sum, value, at) => sum + value * (x[at] ?? 0), 0)
    return dot(q) - dot(m) / 2
  })
}

function meanOf(vectors: readonly ArrayLike<number>[]): readonly number[] {
  return Array.from(
    { length: dimension },
    (_, at) => vectors.reduce((sum, v) => sum + (v[at] ?? 0), 0) / vectors.length,
  )
}

function eliminate(matrix: readonly (readonly number[])[], right: readonly number[]): readonly number[] {
  const rows = matrix.map((row, at) => [...row, right[at] ?? 0])
  for (const [pivot, top] of rows.entries())
    for (const [at, row] of rows.entries()) {
      const factor = at === pivot ? 0 : (row[pivot] ?? 0) / (top[pivot] ?? 1)
      for (const [column, value] of top.entries()) row[column] = (row[column] ?? 0) - factor * value
    }
  return rows.map((row, at) => (row[dimension] ?? 0) / (row[at] ?? 1))
}

test('scores are the formula of the pooled covariance, with the middle of the pool as the origin', () => {
  for (const [fitOn, which] of [
    [undefined, [0, 1, 2, 3, 4]],
    [new Set(['class 1', 'class 3']), [1, 3]],
  ] as const) {
    const scores = filled(0.3, fitOn).scores(keys, query)
    for (const [at, expected] of direct(0.3, which).entries()) {
      const found = scores[at] ?? NaN
      assert.ok(Math.abs(found - expected) < 1e-5 * Math.max(1, Math.abs(expected)), `${at}: ${found}, ${expected}`)
    }
  }
})

test('a held-out sample scores what a pool without it gives', () => {
  const gaussian = filled(0.5)
  for (const [at, key] of keys.entries())
    for (const left of [0, 3]) {
      const found = gaussian.heldOutScores(key, left, keys)
      assert.ok(found)
      const vector = own(at)[left] ?? query
      const without = filled(0.5)
      without.add(
        key,
        own(at).filter((_, place) => place !== left),
      )
      const scores = [...without.scores(keys, vector)]
      // The share of one sample in the size and the trace of the covariance is left as it was, and so are percents of it.
      const spread = (values: readonly number[]): readonly number[] => values.map(value => value - (values[at] ?? 0))
      const [close, exact] = [spread([...found]), spread(scores)]
      for (const [place, value] of exact.entries())
        assert.ok(Math.abs((close[place] ?? 0) - value) < 0.06 * (1 + Math.abs(value)), `${close[place]}, ${value}`)
    }
  assert.equal(gaussian.heldOutScores('nobody', 0, keys), undefined)
  gaussian.add('single', [query])
  assert.equal(gaussian.heldOutScores('single', 0, keys), undefined)
})
