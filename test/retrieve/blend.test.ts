import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fitBlend, spread, USUAL, type Blend, type Trial } from '../../src/retrieve/blend.ts'
import { Steps } from '../../src/retrieve/steps.ts'
import { uniforms } from '../contracts/vector-index.ts'

const fitted = (given: readonly Trial[]): Blend => new Steps(fitBlend(given)).finish()

/** Trials of ten adapters whose own one is drawn with the probability that the true weights give. */
function trials(count: number, dense: number, lexical: number, seed: number): readonly Trial[] {
  const random = uniforms(seed)
  return Array.from({ length: count }, () => {
    const scores = { dense: new Float64Array(10), lexical: new Float64Array(10) }
    for (let at = 0; at < 10; at += 1) {
      scores.dense[at] = 40 * random()
      scores.lexical[at] = random() / 2
    }
    const shares = Array.from(scores.dense, (value, at) =>
      Math.exp(dense * value + lexical * (scores.lexical[at] ?? 0)),
    )
    let draw = random() * shares.reduce((sum, share) => sum + share, 0)
    const own = shares.findIndex(share => (draw -= share) <= 0)
    return { ...scores, own: Math.max(0, own) }
  })
}

test('the weights that made the trials are found again', () => {
  for (const [dense, lexical] of [
    [0.1, 6],
    [0.2, 25],
  ] as const) {
    const found = fitted(trials(4000, dense, lexical, 7))
    assert.ok(Math.abs(found.dense / dense - 1) < 0.15, `${found.dense}, expected ${dense}`)
    assert.ok(Math.abs(found.lexical / lexical - 1) < 0.15, `${found.lexical}, expected ${lexical}`)
  }
})

test('without trials, and with trials that say nothing, the usual weights stay', () => {
  assert.deepEqual(fitted([]), USUAL)
  const flat = { dense: new Float64Array(3), lexical: new Float64Array(3), own: 1 }
  const found = fitted([flat, flat])
  assert.ok(Math.abs(found.dense - USUAL.dense) < 1e-9 && Math.abs(found.lexical - USUAL.lexical) < 1e-9)
})

test('trials that all find their own drive no weight to the end', () => {
  const sure = { dense: Float64Array.of(100, 0), lexical: Float64Array.of(1, 0), own: 0 }
  const found = fitted(Array.from({ length: 5000 }, () => sure))
  assert.ok(found.dense < 1 && found.lexical < 100)
})

test('a half that misleads is weighed down', () => {
  const wrong = Array.from({ length: 500 }, (_, at) => ({
    dense: Float64Array.of(10, 0, 5),
    lexical: at % 2 === 0 ? Float64Array.of(0, 0.5, 0) : Float64Array.of(0, 0, 0.5),
    own: 0,
  }))
  const found = fitted(wrong)
  assert.ok(found.lexical < USUAL.lexical / 2, `${found.lexical}`)
})

/** What goes from each of three adapters to the others: the first two are alike. */
const shares = [
  [0, 0.9, 0.1],
  [0.9, 0, 0.1],
  [0.5, 0.5, 0],
]

const softmax = (scores: Iterable<number>): readonly number[] => {
  const weights = [...scores].map(score => Math.exp(score))
  return weights.map(weight => weight / weights.reduce((sum, one) => sum + one, 0))
}

test('spread: a twentieth of each probability goes to those that are like it', () => {
  const scores = Float64Array.of(3, -4, 1)
  const before = softmax(scores)
  const wanted = before.map(
    (own, at) => 0.95 * own + 0.05 * before.reduce((sum, given, from) => sum + given * (shares[from]?.[at] ?? 0), 0),
  )
  const found = spread(scores, from => shares[from] ?? [])
  const total = Math.log(scores.reduce((sum, score) => sum + Math.exp(score), 0))
  for (const [at, probability] of wanted.entries()) {
    // What adapters below a fiftieth would give is left out.
    assert.ok(Math.abs((found[at] ?? NaN) - (Math.log(probability) + total)) < 2e-3, `${at}: ${found[at]}`)
    assert.ok(Math.abs(Math.exp((found[at] ?? NaN) - total) - probability) < 1e-4)
  }
  assert.deepEqual([...scores], [3, -4, 1])
})

test('spread: one alone has nobody to lend to', () => {
  assert.deepEqual([...spread(Float64Array.of(7), () => [0])], [7])
  assert.equal(spread(new Float64Array(0), () => []).length, 0)
})

test('spread: scores far apart, and far from 0, stay finite', () => {
  for (const scores of [Float64Array.of(2000, -2000, 0), Float64Array.of(-900, -901, -3000)]) {
    const found = spread(scores, from => shares[from] ?? [])
    assert.ok(found.every(Number.isFinite), found.join(', '))
    assert.ok((found[0] ?? 0) > (found[1] ?? 0))
  }
  const many = Float64Array.from({ length: 100 }, (_, at) => (at < 99 ? 5 : -2000))
  assert.ok(spread(many, () => new Float64Array(100)).every(Number.isFinite))
})
