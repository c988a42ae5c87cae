import assert from 'node:assert/strict'
import { test } from 'node:test'
import { reportOf, type Scored } from '../../src/cli/evaluate/generation-report.ts'

function scored(
  adapter: string,
  cluster: string,
  ...pairs: readonly (readonly [score: number, perfect: number])[]
): Scored[] {
  return pairs.map(([score, perfect], line) => ({
    item: { line, adapter, cluster, metric: 'em', text: 'x', target: 'y' },
    score,
    perfect,
  }))
}

test('report: adapters count alike, however many items they have', () => {
  const { n, overall, perfect, normalised, clusters, perAdapter } = reportOf([
    ...scored('a', 'one', [100, 100], [100, 100], [100, 100], [0, 100]),
    ...scored('b', 'one', [25, 50]),
    ...scored('c', 'two', [0, 0]),
  ])
  assert.equal(n, 6)
  assert.ok(Math.abs(overall - 100 / 3) < 1e-9)
  assert.equal(perfect, 50)
  assert.ok(Math.abs((normalised ?? 0) - 200 / 3) < 1e-9)
  assert.deepEqual(clusters['one'], { n: 5, adapters: 2, score: 50, perfect: 75, normalised: (100 * 50) / 75 })
  assert.deepEqual(clusters['two'], { n: 1, adapters: 1, score: 0, perfect: 0, normalised: null })
  assert.equal(perAdapter['a']?.score, 75)
})

test('report: the interval holds the score, is the same every time, and closes where nothing varies', () => {
  const varied = ['a', 'b', 'c', 'd'].flatMap((name, place) => scored(name, 'one', [place * 20, 60], [place * 10, 80]))
  const report = reportOf(varied)
  assert.deepEqual(reportOf(varied), report)
  assert.ok(report.interval[0] < report.overall && report.overall < report.interval[1])
  assert.deepEqual(reportOf(scored('a', 'one', [40, 80], [40, 80])).interval, [40, 40])
  assert.deepEqual(reportOf(scored('a', 'one', [40, 80], [40, 80])).normalisedInterval, [50, 50])
})

test('report: with nothing to compare with there is no ratio, and never NaN', () => {
  const report = reportOf(scored('a', 'one', [0, 0]))
  assert.equal(report.normalised, null)
  assert.equal(report.normalisedInterval, null)
  assert.doesNotMatch(JSON.stringify(report), /NaN/)
})
