import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PLACES } from '../../src/retrieve/text-vectors.ts'
import { WeightRows } from '../../src/retrieve/weight-rows.ts'
import { uniforms } from '../contracts/vector-index.ts'

test('products of a sparse text with 8-bit weights are plain sums, from the first place to the last', () => {
  const next = uniforms(1)
  const rows = new WeightRows()
  const weights = Array.from({ length: 11 }, (_, at) => ({
    values: Int8Array.from({ length: PLACES }, () => Math.round(254 * next()) - 127),
    unit: 0.001 * (at + 1),
  }))
  const first = rows.put({ values: new Int8Array(PLACES).fill(100), unit: 7 })
  rows.drop(first)
  const slots = weights.map(given => rows.put(given))
  assert.equal(slots[0], first)
  for (const count of [0, 1, 2, 250, PLACES]) {
    const ids = Uint16Array.from({ length: count }, (_, at) => (count === 250 ? 65 * at : PLACES - 1 - at))
    const vector = { ids, values: Float32Array.from(ids, () => next() / Math.sqrt(Math.max(1, count))) }
    for (const some of [slots, slots.slice(2, 5), [], slots.toReversed()]) {
      const products = rows.products(vector, some)
      assert.equal(products.length, some.length)
      for (const [at, slot] of some.entries()) {
        const given = weights[slots.indexOf(slot)]
        const sum = [...ids].reduce(
          (total, id, place) => total + (given?.values[id] ?? NaN) * (vector.values[place] ?? 0),
          0,
        )
        const wanted = sum * (given?.unit ?? NaN)
        assert.ok(
          Math.abs((products[at] ?? NaN) - wanted) < 1e-4 * Math.max(1, Math.abs(wanted)),
          `${products[at]}, ${wanted}`,
        )
      }
    }
  }
})
