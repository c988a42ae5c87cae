import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { softmaxWeights } from '../../src/compose/softmax-weights.ts'
import { fusion, mixture } from '../../src/compose/strategies.ts'
import { ConfigError } from '../../src/errors.ts'
import { adapterNamed, retrievedHits, strategyContract } from '../contracts/strategy.ts'

strategyContract('mixture with softmax weights', softmaxWeights(mixture, 0.05))
strategyContract('fusion with softmax weights', softmaxWeights(fusion, 0.05))

const [a, b] = [adapterNamed('a'), adapterNamed('b')]

test('softmax weights: two scores a temperature apart weigh as e to 1', () => {
  const { mix } = softmaxWeights(
    mixture,
    0.1,
  )([
    { adapter: a, score: 0.7 },
    { adapter: b, score: 0.6 },
  ])
  const [first = 0, second = 0] = mix.map(({ weight }) => weight)
  assert.ok(Math.abs(first / second - Math.E) < 1e-9)
  assert.ok(Math.abs(first + second - 1) < 1e-12)
})

test('softmax weights: a high temperature is the uniform mean, a low one the nearest alone', () => {
  fc.assert(
    fc.property(retrievedHits, hits => {
      const weights = (tau: number) => softmaxWeights(mixture, tau)(hits).mix.map(({ weight }) => weight)
      if (hits.length === 0) return
      for (const weight of weights(1e9)) assert.ok(Math.abs(weight - 1 / hits.length) < 1e-6)
      const scores = hits.map(({ score }) => score ?? 0)
      const [top = 0, next = -2] = scores.toSorted((one, other) => other - one)
      if (top - next > 1e-3) assert.ok(Math.max(...weights(1e-5)) > 0.999)
    }),
  )
})

test('softmax weights: what a prompt named keeps its weights', () => {
  const { mix } = softmaxWeights(
    mixture,
    0.1,
  )([
    { adapter: a, score: null, weight: 0.25 },
    { adapter: b, score: null },
  ])
  assert.deepEqual(
    mix.map(({ weight }) => weight),
    [0.25, 0.5],
  )
})

test('softmax weights: a temperature that is not above 0 is refused', () => {
  for (const tau of [0, -1, Number.NaN, Infinity])
    assert.throws(
      () => softmaxWeights(mixture, tau),
      new ConfigError(`softmaxWeights: tau is ${tau}, expected a number above 0`),
    )
})
