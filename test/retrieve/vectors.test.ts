import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ModelError } from '../../src/errors.ts'
import { checkVector, unitMean } from '../../src/retrieve/vectors.ts'
import { clusteredVectors } from '../contracts/vector-index.ts'

test('the mean of unit vectors has length 1 and points their way', () => {
  const vectors = clusteredVectors(20, 384, 1, 5)
  const mean = unitMean(vectors)
  assert.ok(Math.abs(Math.hypot(...mean) - 1) < 1e-6)
  const plain = vectors[0]?.map((_, at) => vectors.reduce((sum, vector) => sum + (vector[at] ?? 0), 0) / 20)
  const length = Math.hypot(...(plain ?? []))
  for (const [at, value] of mean.entries()) assert.ok(Math.abs(value - (plain?.[at] ?? 0) / length) < 1e-6)
})

test('vectors without a mean direction are refused', () => {
  assert.throws(() => unitMean([]), ModelError)
  assert.throws(() => unitMean([Float32Array.of(1, 0), Float32Array.of(-1, 0)]), /cancel each other out/)
  assert.throws(() => unitMean([Float32Array.of(1, 0), Float32Array.of(1)]), /1 dimensions, expected 2/)
  assert.throws(() => unitMean([Float32Array.of(Number.NaN, 0)]), ModelError)
})

test('the message of a broken vector says whose it is and where', () => {
  assert.throws(() => checkVector(Float32Array.of(0, Infinity), 2, '"x"'), /vector of "x" holds Infinity at 1/)
})
