import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { bestOf } from '../../src/retrieve/ranking.ts'

test('the best come first, equal ones by key, without those that are skipped, as if all were sorted', () => {
  // Few different scores, so that many are equal.
  const pool = fc.uniqueArray(fc.tuple(fc.string({ maxLength: 3 }), fc.integer({ min: -3, max: 3 })), {
    selector: ([key]) => key,
  })
  fc.assert(
    fc.property(pool, fc.nat(12), fc.array(fc.nat(), { maxLength: 5 }), (entries, k, skipped) => {
      const keys = entries.map(([key]) => key)
      const skip = new Set(skipped.map(at => keys[at % Math.max(1, keys.length)] ?? 'nobody'))
      const sorted = entries
        .filter(([key]) => !skip.has(key))
        .map(([key, score]) => ({ key, score }))
        .toSorted((one, other) => other.score - one.score || (one.key < other.key ? -1 : 1))
      const scores = Float64Array.from(entries, ([, score]) => score)
      assert.deepEqual(bestOf(keys, scores, k, skip), sorted.slice(0, k))
    }),
  )
})
