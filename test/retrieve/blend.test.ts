import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fitBlend, USUAL, type Blend, type Trial } from '../../src/retrieve/blend.ts'
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
