import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Encoder } from '../../src/ports.ts'

const texts = [
  'What is the capital of France?',
  '',
  'A short one.',
  'Premise: the cat sat on the mat.\nHypothesis: an animal rested.\nDoes the premise entail the hypothesis?',
  '  spaces   and\ttabs\n\nand lines  ',
  'Übergrößen, naïve façade — “quotes” 你好 🙂',
  'word '.repeat(3000),
  'x'.repeat(5000),
  'A short one.',
]

/** Cosine of two unit vectors. */
export function cosine(one: Float32Array | undefined, other: Float32Array | undefined): number {
  assert.ok(one && other && one.length === other.length)
  return one.reduce((sum, value, index) => sum + value * (other[index] ?? 0), 0)
}

function assertSame(one: Float32Array | undefined, other: Float32Array | undefined): void {
  assert.ok(one && other)
  const worst = one.reduce((most, value, index) => Math.max(most, Math.abs(value - (other[index] ?? 0))), 0)
  assert.ok(worst <= 2e-6, `differs by ${worst}`)
}

/** What every encoder promises. */
export function encoderContract(name: string, make: (t: TestContext) => Promise<Encoder>): void {
  test(`${name}: gives a finite unit vector for every text, in order, also for an empty one`, async t => {
    const encoder = await make(t)
    const vectors = await encoder.encode(texts)
    assert.equal(vectors.length, texts.length)
    for (const vector of vectors) {
      assert.equal(vector.length, encoder.facts.dimension)
      assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-5, `length ${Math.hypot(...vector)}`)
    }
    assert.deepEqual(await encoder.encode([]), [])
  })

  test(`${name}: the same text has the same vector, whatever it is encoded with`, async t => {
    const encoder = await make(t)
    const together = await encoder.encode(texts)
    assertSame(together[8], together[2])
    const alone = await Promise.all(texts.map(text => encoder.encode([text])))
    for (const [index, [vector]] of alone.entries()) assertSame(vector, together[index])
    const reversed = (await encoder.encode(texts.toReversed())).toReversed()
    for (const [index, vector] of reversed.entries()) assertSame(vector, together[index])
  })

  test(`${name}: different texts have different vectors`, async t => {
    const [one, other] = await (await make(t)).encode(['What is the capital of France?', 'add two and three'])
    assert.ok(cosine(one, other) < 0.9999)
  })

  test(`${name}: says who it is`, async t => {
    const { facts } = await make(t)
    assert.match(facts.digest, /^sha256:[0-9a-f]{64}$/)
    assert.notEqual(facts.id, '')
    assert.ok(Number.isInteger(facts.dimension) && facts.dimension > 0)
  })
}
