import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { LoraWeights } from '../../src/hf/peft.ts'
import { fuse } from '../../src/infer/fuse.ts'

const sizes = new Map([
  ['q', { in: 3, out: 2 }],
  ['v', { in: 4, out: 5 }],
  ['down', { in: 1, out: 3 }],
])

type Part = { readonly modules: ReadonlyMap<string, LoraWeights>; readonly weight: number }

const numbers = (length: number): fc.Arbitrary<Float32Array> =>
  fc
    .array(fc.float({ noNaN: true, min: -4, max: 4 }), { minLength: length, maxLength: length })
    .map(values => Float32Array.from(values))

const weightsOf = ({ in: inner, out }: { readonly in: number; readonly out: number }): fc.Arbitrary<LoraWeights> =>
  fc.record({ rank: fc.integer({ min: 1, max: 5 }), scale: fc.constantFrom(0.25, 1, 2, 3) }).chain(({ rank, scale }) =>
    fc.record({
      rank: fc.constant(rank),
      scale: fc.constant(scale),
      a: numbers(rank * inner),
      b: numbers(out * rank),
    }),
  )

const part: fc.Arbitrary<Part> = fc.record({
  weight: fc.constantFrom(-0.5, 0, 0.25, 0.5, 1, 2),
  modules: fc
    .subarray([...sizes.keys()], { minLength: 1 })
    .chain(names =>
      fc
        .tuple(...names.map(name => weightsOf(sizes.get(name) ?? { in: 1, out: 1 })))
        .map(all => new Map(all.map((weights, index) => [names[index] ?? '', weights]))),
    ),
})

/** scale · B·A, `[out, in]`, by the definition of a product. */
function delta({ a, b, rank, scale }: LoraWeights, { in: inner, out }: { in: number; out: number }): number[] {
  const product: number[] = []
  for (let o = 0; o < out; o++)
    for (let i = 0; i < inner; i++) {
      let sum = 0
      for (let r = 0; r < rank; r++) sum += (b[o * rank + r] ?? NaN) * (a[r * inner + i] ?? NaN)
      product.push(scale * sum)
    }
  return product
}

/** (Σ wⱼ√sⱼ·Bⱼ)(Σ wⱼ√sⱼ·Aⱼ) of a module, summed over rank, rank by rank: a part that lacks the rank or the module has zeros there. */
function expected(parts: readonly Part[], name: string, { in: inner, out }: { in: number; out: number }): number[] {
  const product = Array<number>(out * inner).fill(0)
  for (let r = 0; r < 5; r++) {
    const sumOf = (valueOf: (weights: LoraWeights) => number): number =>
      parts.reduce((sum, { modules, weight }) => {
        const weights = modules.get(name)
        if (weights === undefined || r >= weights.rank) return sum
        return sum + weight * Math.sqrt(weights.scale) * valueOf(weights)
      }, 0)
    for (let o = 0; o < out; o++)
      for (let i = 0; i < inner; i++) {
        const b = sumOf(weights => weights.b[o * weights.rank + r] ?? NaN)
        product[o * inner + i] = (product[o * inner + i] ?? 0) + b * sumOf(weights => weights.a[r * inner + i] ?? NaN)
      }
  }
  return product
}

test('fuse: several parts are the product of the sums, whatever ranks, scales, weights and modules they have', () => {
  fc.assert(
    fc.property(fc.array(part, { minLength: 2, maxLength: 4 }), parts => {
      const fused = fuse(parts)
      assert.deepEqual(new Set(fused.keys()), new Set(parts.flatMap(({ modules }) => [...modules.keys()])))
      for (const [name, weights] of fused) {
        const size = sizes.get(name)
        assert.ok(size)
        assert.equal(weights.a.length, weights.rank * size.in)
        assert.equal(weights.b.length, weights.rank * size.out)
        const wanted = expected(parts, name, size)
        for (const [place, value] of delta(weights, size).entries())
          assert.ok(Math.abs(value - (wanted[place] ?? NaN)) <= 1e-3, `${name}: ${value}, expected ${wanted[place]}`)
      }
    }),
  )
})

test('fuse: one part of weight 1 is the adapter itself, and of weight w its delta times w²', () => {
  fc.assert(
    fc.property(part, ({ modules }) => {
      assert.equal(fuse([{ modules, weight: 1 }]), modules)
      for (const [name, weights] of fuse([{ modules, weight: 0.5 }])) {
        const [size, own] = [sizes.get(name), modules.get(name)]
        assert.ok(size && own)
        const wanted = delta(own, size).map(value => value / 4)
        for (const [place, value] of delta(weights, size).entries())
          assert.ok(Math.abs(value - (wanted[place] ?? NaN)) <= 1e-3)
      }
    }),
  )
})

test('fuse: what it was given stays as it was', () => {
  fc.assert(
    fc.property(fc.array(part, { minLength: 2, maxLength: 3 }), parts => {
      const values = (): readonly number[] =>
        parts.flatMap(({ modules }) => [...modules.values()].flatMap(({ a, b }) => [...a, ...b]))
      const before = values()
      fuse(parts)
      assert.deepEqual(values(), before)
    }),
  )
})
