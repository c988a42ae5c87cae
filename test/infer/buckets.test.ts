import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { paddedWidth, planBuckets } from '../../src/infer/buckets.ts'

const prompts = fc.array(fc.integer({ min: 1, max: 1500 }), { minLength: 1, maxLength: 100 })

test('buckets: every row is in one of equally many, which is wide enough for it and not too large', () => {
  fc.assert(
    fc.property(prompts, fc.integer({ min: 1, max: 300 }), (lengths, steps) => {
      const { order, widths } = planBuckets(lengths, steps)
      assert.deepEqual(
        order.flatMap(place => place ?? []).toSorted((one, other) => one - other),
        lengths.map((_, place) => place),
      )
      const rows = order.length / widths.length
      assert.ok(Number.isInteger(rows))
      for (const [bucket, width] of widths.entries()) {
        const own = order.slice(bucket * rows, (bucket + 1) * rows).flatMap(place => lengths[place ?? -1] ?? [])
        assert.ok(own.length > 0)
        assert.equal(width, paddedWidth(Math.max(...own)))
        assert.ok(rows === 1 || rows * width <= 1024)
      }
      assert.equal(widths.at(-1), paddedWidth(Math.max(...lengths)))
    }),
  )
})

test('buckets: prompts of one length are one bucket, as many as it holds', () => {
  assert.deepEqual(planBuckets([64, 64, 64], 32), { order: [0, 1, 2], widths: [64] })
  assert.equal(planBuckets(Array<number>(32).fill(64), 32).widths.length, 2)
})

test('buckets: a long prompt among short ones is not what they are padded to', () => {
  const { order, widths } = planBuckets([1000, 20, 20, 20], 8)
  assert.equal(order.at(-1), 0)
  assert.deepEqual([widths[0], widths.at(-1)], [32, 1008])
})

test('buckets: a row fills up where that costs less than another bucket, and not where many steps follow', () => {
  const lengths = [16, 16, 16, 16, 16, 16, 16, 500, 500]
  assert.ok(planBuckets(lengths, 1).order.includes(null))
  assert.ok(!planBuckets(lengths, 1000).order.includes(null))
})
