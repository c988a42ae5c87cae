import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { planBuckets } from '../../src/infer/buckets.ts'
import { planRuns, type RowCost } from '../../src/infer/runs.ts'

const base = { cacheBytesPerToken: 1000, heads: 4, inBuckets: false }

const cost = (promptTokens: number, newTokens = 10, loraBytes = 0): RowCost => ({ promptTokens, newTokens, loraBytes })

const costs = fc.array(
  fc.record({
    promptTokens: fc.integer({ min: 1, max: 500 }),
    newTokens: fc.integer({ min: 1, max: 200 }),
    loraBytes: fc.nat(1_000_000),
  }),
  { maxLength: 40 },
)

test('runs: every row is in one run, no run is empty, and all are one when they fit', () => {
  fc.assert(
    fc.property(costs, fc.nat(50_000_000), (rows, budget) => {
      const runs = planRuns(rows, base, budget)
      assert.deepEqual(
        runs.flat().toSorted((one, other) => one - other),
        rows.map((_, place) => place),
      )
      assert.ok(runs.every(run => run.length > 0))
      assert.deepEqual(planRuns(rows, base, Infinity), rows.length === 0 ? [] : [rows.map((_, place) => place)])
    }),
  )
})

test('runs: one of several rows fits its budget, and could not have taken the next row too', () => {
  fc.assert(
    fc.property(costs, fc.nat(20_000_000), (rows, budget) => {
      const fits = (places: readonly number[]): boolean =>
        planRuns(
          places.flatMap(place => rows[place] ?? []),
          base,
          budget,
        ).length === 1
      const runs = planRuns(rows, base, budget)
      for (const [index, run] of runs.entries()) {
        assert.ok(run.length === 1 || fits(run))
        const next = runs[index + 1]?.[0]
        if (next !== undefined) assert.ok(!fits([...run, next]))
      }
    }),
  )
})

test('runs: with a budget for nothing every row runs alone, the shortest first', () => {
  assert.deepEqual(planRuns([cost(30), cost(10), cost(20)], base, 0), [[1], [2], [0]])
})

test('runs: a long prompt, many new tokens and large LoRAs each count', () => {
  const small = [cost(10), cost(10), cost(10), cost(10)]
  const enough = 4 * (10 + 2 * 10) * 1000 + 2 * 4 * 4 * 4 * 10 * 10
  assert.equal(planRuns(small, base, enough).length, 1)
  assert.equal(planRuns(small, base, enough - 1).length, 2)
  for (const large of [cost(11), cost(10, 11), cost(10, 10, 1)])
    assert.equal(planRuns([...small.slice(1), large], base, enough).length, 2)
})

test('runs: in buckets scores are those of one bucket, and rows that fill up count', () => {
  /** The least budget, to 1000 bytes, that all rows fit in. */
  const bytes = (rows: readonly RowCost[], inBuckets: boolean): number => {
    let budget = 0
    while (planRuns(rows, { ...base, inBuckets }, budget).length > 1) budget += 1000
    return budget
  }
  const [caches, scores] = [(prompt: number) => (prompt + 2 * 10) * 1000, 2 * 4 * 4 * 100 * 100]
  const alike = Array.from({ length: 18 }, () => cost(100))
  assert.equal(bytes(alike, false), 18 * caches(100) + 18 * scores)
  assert.equal(bytes(alike, true), 18 * caches(100) + 9 * scores)
  const filled = Array.from({ length: 11 }, () => cost(100, 1))
  assert.ok(
    planBuckets(
      filled.map(({ promptTokens }) => promptTokens),
      0,
    ).order.includes(null),
  )
  assert.equal(bytes(filled, true), 12 * 102 * 1000 + 6 * scores)
})

test('runs: rows of like length come together', () => {
  const rows = [300, 10, 290, 12, 310, 11].map(tokens => cost(tokens))
  const runs = planRuns(rows, base, 2_500_000).map(run => run.map(place => rows[place]?.promptTokens))
  assert.deepEqual(
    runs.flat(),
    runs.flat().toSorted((one, other) => (one ?? 0) - (other ?? 0)),
  )
  assert.ok(runs.length > 1)
})
