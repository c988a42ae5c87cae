import assert from 'node:assert/strict'
import { test } from 'node:test'
import { median, percentile } from '../../src/cli/bench/measure.ts'

test('a percentile is one of the values, by nearest rank, in whatever order they come', () => {
  const values = Array.from({ length: 200 }, (_, at) => ((at * 7) % 200) + 1)
  assert.deepEqual(
    [0, 0.01, 0.5, 0.99, 1].map(share => percentile(values, share)),
    [1, 2, 100, 198, 200],
  )
  assert.equal(percentile([5], 0.99), 5)
  assert.ok(Number.isNaN(percentile([], 0.99)))
  assert.equal(median(values), 100.5)
})
