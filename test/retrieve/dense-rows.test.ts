import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { DenseRows } from '../../src/retrieve/dense-rows.ts'
import { uniforms } from '../contracts/vector-index.ts'

const types = [
  { type: Float32Array, within: 1e-6 },
  { type: Float64Array, within: 1e-12 },
] as const

/** Numbers whose products with others like them sum up to 1 at most. */
function small(length: number, next: () => number): Float32Array {
  return Float32Array.from({ length }, () => (2 * next() - 1) / Math.sqrt(Math.max(1, length)))
}

function plain(one: ArrayLike<number>, other: ArrayLike<number>, from = 0, to = one.length): number {
  let sum = 0
  for (let at = from; at < to; at += 1) sum += (one[at] ?? NaN) * (other[at] ?? NaN)
  return sum
}

function assertNear(found: number | undefined, wanted: number, within: number): void {
  assert.ok(found !== undefined && Math.abs(found - wanted) <= within, `${found}, expected ${wanted}`)
}

const shape = { length: fc.integer({ min: 0, max: 70 }), count: fc.integer({ min: 0, max: 40 }), seed: fc.nat() }

for (const { type, within } of types) {
  test(`${type.name} rows: products are plain sums, for any length and any choice of rows, also after some were dropped`, () => {
    fc.assert(
      fc.property(fc.record({ ...shape, drops: fc.array(fc.nat()) }), ({ length, count, seed, drops }) => {
        const next = uniforms(seed)
        const rows = new DenseRows<Float32Array | Float64Array>(type, length)
        const kept = new Map<number, Float32Array>()
        const put = (): void => {
          const row = small(length, next)
          kept.set(rows.put(row), row)
        }
        for (let at = 0; at < count; at += 1) put()
        for (const drop of drops) {
          const slot = [...kept.keys()][drop % Math.max(1, kept.size)]
          if (slot === undefined) continue
          rows.drop(slot)
          kept.delete(slot)
          if (drop % 2 === 0) put()
        }
        const vector = small(length, next)
        const slots = [...kept.keys()].filter(() => next() < 0.8)
        const products = rows.products(vector, slots)
        assert.equal(products.length, slots.length)
        for (const [at, slot] of slots.entries()) assertNear(products[at], plain(vector, kept.get(slot) ?? []), within)
      }),
    )
  })

  test(`${type.name} rows: a row's product is the same to the last bit, whatever stands beside it`, () => {
    const next = uniforms(2)
    const rows = new DenseRows<Float32Array | Float64Array>(type, 37)
    const slots = Array.from({ length: 50 }, () => rows.put(small(37, next)))
    const vector = small(37, next)
    const all = rows.products(vector, slots)
    const copy = rows.put(rows.row(slots[3] ?? 0))
    assert.equal(rows.products(vector, [copy])[0], all[3])
    for (const [at, slot] of slots.entries()) assert.equal(rows.products(vector, [slot])[0], all[at])
    const turned = rows.products(vector, slots.toReversed())
    assert.deepEqual([...turned].toReversed(), [...all])
  })
}

test('rows stay as they are while the memory grows, and a row can be replaced where it is', () => {
  const next = uniforms(3)
  const rows = new DenseRows(Float32Array, 129)
  // Several times what the first growth makes room for, and more rows than one call of a kernel takes.
  const put = Array.from({ length: 9000 }, () => small(129, next))
  const slots = put.map(row => rows.put(row))
  const other = small(129, next)
  assert.equal(rows.put(other, slots[17]), slots[17])
  put[17] = other
  const vector = small(129, next)
  const products = rows.products(vector, slots)
  for (const [at, row] of put.entries()) assertNear(products[at], plain(vector, row), 1e-6)
})

test('a row is multiplied with others over some of its places', () => {
  const next = uniforms(4)
  const rows = new DenseRows(Float64Array, 21)
  const put = Array.from({ length: 7 }, () => small(21, next))
  const slots = put.map(row => rows.put(row))
  for (const [from, to] of [
    [0, 21],
    [0, 2],
    [6, 20],
    [20, 21],
    [8, 8],
  ] as const) {
    const products = rows.productsOf(slots[2] ?? 0, from, to, slots)
    for (const [at, row] of put.entries()) assertNear(products[at], plain(put[2] ?? [], row, from, to), 1e-12)
  }
})
