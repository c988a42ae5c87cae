import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { random } from '../../src/cli/bench/random.ts'
import type { HeldOut } from '../../src/ports.ts'
import { confidences, fitCalibration, type Calibration } from '../../src/retrieve/calibration.ts'
import { heldOut } from '../../src/retrieve/held-out.ts'
import { Steps } from '../../src/retrieve/steps.ts'

const fitted = (held: readonly HeldOut[]): Calibration | undefined => new Steps(fitCalibration(held)).finish()

/** Samples whose own adapter scores about `own` where the others score about 0, `scale` apart. */
function samples(own: number, scale = 1, count = 400): readonly HeldOut[] {
  const next = random(5)
  const noise = () => scale * (next() + next() + next() - 1.5)
  return Array.from({ length: count }, () => heldOut(own * scale + noise(), Array.from({ length: 10 }, noise)))
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)

test('calibration: a score as own adapters have it is trusted, one as others have it is not', () => {
  const calibration = fitted(samples(4))
  assert.ok(calibration)
  const [sure = 0] = confidences([4, 1, 0.5], calibration)
  assert.ok(sure > 0.95, `${sure}`)
  assert.ok(sum(confidences([1.1, 1, 0.9], calibration)) < 0.2)
})

test('calibration: probabilities hold over new prompts drawn as the samples were', () => {
  const calibration = fitted(samples(1.5))
  assert.ok(calibration)
  const fresh = samples(1.5, 1, 1400).slice(400)
  const inside = fresh.map(({ own, others }) => ({
    right: own > (others[0] ?? NaN),
    given: confidences(
      [own, ...others].toSorted((one, other) => other - one),
      calibration,
    ),
  }))
  const outside = fresh.map(({ others }) => confidences(others, calibration))
  const mean = (values: readonly number[]): number => sum(values) / values.length
  // Half of all prompts, these with and without their own adapter, have it: so says the mean of the odds.
  const said = mean([...inside.map(({ given }) => sum(given)), ...outside.map(sum)])
  assert.ok(Math.abs(said - 0.5) < 0.03, `${said}`)
  // Where it is there, the first is right as often as its share of the odds says.
  const share = mean(inside.map(({ given }) => (given[0] ?? NaN) / sum(given)))
  const right = mean(inside.map(one => (one.right ? 1 : 0)))
  assert.ok(Math.abs(share - right) < 0.03, `${share} said, ${right} right`)
})

test('calibration: what others score without the own adapter is what a prompt without one is judged by', () => {
  // Beside their own adapter those that are like it score more than without it.
  const beside = samples(4).map(({ own, others }) =>
    heldOut(
      own,
      others.map(score => score + 2),
      others,
    ),
  )
  const [alike, apart] = [fitted(beside), fitted(samples(4))]
  assert.ok(alike && apart)
  const stranger = [1.1, 1, 0.9]
  assert.ok(sum(confidences(stranger, alike)) < 0.3)
  const misled = fitted(beside.map(({ own, others }) => heldOut(own, others)))
  assert.ok(misled && sum(confidences(stranger, misled)) < sum(confidences(stranger, alike)))
})

test('calibration: where every sample is right by far, nearness still counts for something', () => {
  const calibration = fitted(samples(40))
  assert.ok(calibration)
  const [first = 0, second = 0] = confidences([40, 39.9], calibration)
  assert.ok(first < 2 * second, `${first} and ${second}`)
})

test('calibration: scores in other units give the same probabilities', () => {
  const [one, other] = [fitted(samples(2)), fitted(samples(2, 1000))]
  assert.ok(one && other)
  const given = confidences([2, 1, 0.5], one)
  confidences([2000, 1000, 500], other).forEach((value, index) =>
    assert.ok(Math.abs(value - (given[index] ?? 0)) < 1e-3),
  )
})

test('calibration: probabilities are finite, in the order of the scores, and at most 1 together', () => {
  const calibration = fitted(samples(3))
  assert.ok(calibration)
  const score = fc.double({ min: -1e6, max: 1e6, noNaN: true })
  fc.assert(
    fc.property(fc.array(score, { maxLength: 12 }), scores => {
      const sorted = scores.toSorted((one, other) => other - one)
      const found = confidences(sorted, calibration)
      assert.equal(found.length, sorted.length)
      assert.ok(found.every(value => value >= 0 && value <= 1))
      assert.ok(sum(found) <= 1 + 1e-9)
      assert.deepEqual(
        found.toSorted((one, other) => other - one),
        found,
      )
    }),
  )
})

test('calibration: samples that all score alike, or that separate without error, give finite weights', () => {
  const alike = Array.from({ length: 40 }, () => heldOut(0.5, [0.5, 0.5]))
  const apart = Array.from({ length: 40 }, () => heldOut(1, [0, 0]))
  for (const held of [alike, apart]) {
    const calibration = fitted(held)
    assert.ok(calibration && Object.values(calibration).every(Number.isFinite), JSON.stringify(calibration))
    assert.ok(confidences([0.5, 0.5, 0.2], calibration).every(Number.isFinite))
  }
})

test('calibration: too few samples, scores that are not finite, and pools of two have none', () => {
  assert.equal(fitted([]), undefined)
  assert.equal(fitted(samples(3, 1, 19)), undefined)
  assert.equal(fitted(samples(3).map(held => ({ ...held, own: Number.NaN }))), undefined)
  assert.equal(fitted(samples(3).map(({ own }) => heldOut(own, [0]))), undefined)
})
