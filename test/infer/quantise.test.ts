import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { BLOCK, quantise } from '../../src/infer/quantise.ts'

/** Values as MatMulNBits and GatherBlockQuantized take them: (q − 128) · scale. */
function restored(weights: Float32Array, columns: number): { readonly values: number[]; readonly padding: number[] } {
  const { values, scales } = quantise(weights, columns)
  const blocks = Math.ceil(columns / BLOCK)
  const rows = weights.length / columns
  assert.equal(values.length, rows * blocks * BLOCK)
  assert.equal(scales.length, rows * blocks)
  const found: number[] = []
  const padding: number[] = []
  for (const [place, value] of values.entries()) {
    const column = place % (blocks * BLOCK)
    if (column < columns) found.push(Math.fround((value - 128) * (scales[Math.floor(place / BLOCK)] ?? NaN)))
    else padding.push(value)
  }
  return { values: found, padding }
}

/** The largest magnitude of each weight's block. */
function largest(weights: Float32Array, columns: number, place: number): number {
  const row = Math.floor(place / columns)
  const start = row * columns + Math.floor((place % columns) / BLOCK) * BLOCK
  return Math.max(...weights.subarray(start, Math.min(start + BLOCK, (row + 1) * columns)).map(Math.abs))
}

const matrices = fc
  .record({ rows: fc.integer({ min: 1, max: 5 }), columns: fc.integer({ min: 1, max: 100 }) })
  .chain(({ rows, columns }) =>
    fc.record({
      columns: fc.constant(columns),
      weights: fc
        .array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -1000, max: 1000 }), {
          minLength: rows * columns,
          maxLength: rows * columns,
        })
        .map(values => Float32Array.from(values)),
    }),
  )

test('quantise: no weight is off by more than half a step of its own block, and padding stands for 0', () => {
  fc.assert(
    fc.property(matrices, ({ weights, columns }) => {
      const { values, padding } = restored(weights, columns)
      for (const [place, weight] of weights.entries()) {
        const step = largest(weights, columns, place) / 127
        const error = Math.abs((values[place] ?? NaN) - weight)
        assert.ok(error <= step / 2 + step * 1e-4 + 2 ** -140, `${weight} became ${values[place]}`)
      }
      assert.ok(padding.every(value => value === 128))
    }),
  )
})

test('quantise: the largest of a block is kept, on either side of zero', () => {
  const weights = new Float32Array(64).map((_, place) => Math.sin(place))
  weights[5] = -3
  weights[40] = 2
  const { values } = quantise(weights, 64)
  assert.equal(values[5], 1)
  assert.equal(values[40], 255)
  assert.equal(restored(weights, 64).values[5], -3)
  assert.equal(restored(weights, 64).values[40], 2)
})

test('quantise: a block of zeros stays zeros, beside one that is none', () => {
  const weights = new Float32Array(96)
  weights[70] = 1
  const { values, scales } = quantise(weights, 96)
  assert.deepEqual([...scales.subarray(0, 2)], [0, 0])
  assert.ok(values.subarray(0, 64).every(value => value === 128))
  assert.equal(restored(weights, 96).values[70], 1)
})

test('quantise: the last block of a row is cut at the row, whatever stands in the next', () => {
  const rows = [Float32Array.from({ length: 40 }, () => 0.01), Float32Array.from({ length: 40 }, () => 1000)]
  const both = Float32Array.from(rows.flatMap(row => [...row]))
  const { values, scales } = quantise(both, 40)
  for (const [index, row] of rows.entries()) {
    const own = quantise(row, 40)
    assert.deepEqual(values.subarray(index * 64, (index + 1) * 64), own.values)
    assert.deepEqual(scales.subarray(index * 2, (index + 1) * 2), own.scales)
  }
})
