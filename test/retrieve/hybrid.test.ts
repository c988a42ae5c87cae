import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Sample } from '../../src/ports.ts'
import { hybrid } from '../../src/retrieve/hybrid.ts'
import { scorerContract } from '../contracts/scorer.ts'

scorerContract('hybrid', () => hybrid())

const DIMENSION = 64
const SAMPLES = 20

/** A sample of a task: a direction and a word of its own, and a little that is the sample's alone. */
function sampleOf(task: number, at: number): Sample {
  const vector = Float32Array.from({ length: DIMENSION }, (_, axis) =>
    axis === task ? 1 : 0.1 * Math.sin(37 * task + 101 * at + 13 * axis),
  )
  const length = Math.hypot(...vector)
  return { text: `task${task} question ${(7 * task + 3 * at) % 50}`, vector: vector.map(value => value / length) }
}

test('hybrid: in a pool too large to be fitted whole, left-out samples are held against strangers of the whole pool', () => {
  const scorer = hybrid()
  const tasks = 40
  // Two adapters of each task, 1,600 samples: whichever is in the fit, its twin must be among those it is told from.
  for (let task = 0; task < tasks; task += 1)
    for (const [twin, name] of ['a', 'b'].entries())
      scorer.add(
        `${name}-${task}`,
        Array.from({ length: SAMPLES }, (_, at) => sampleOf(task, 2 * at + twin)),
      )
  const held = [...scorer.heldOut()]
  assert.ok(held.length > 100, `${held.length} samples`)
  for (const { own, others } of held) {
    const [twin = NaN, next = NaN] = others
    assert.ok(twin - next > Math.abs(own - twin), `own ${own}, others ${others.slice(0, 3).join(', ')}`)
  }
})

test('hybrid: in a pool too large for all to be scored, a score is the same whatever k and skip are', () => {
  const scorer = hybrid()
  for (let task = 0; task < 200; task += 1)
    scorer.add(
      `t${task}`,
      [0, 1, 2].map(at => sampleOf(task % DIMENSION, 3 * task + at)),
    )
  const prompt = sampleOf(5, 9_999)
  const none: ReadonlySet<string> = new Set()
  const all = scorer.search(prompt, 200, none)
  assert.equal(all.length, 200)
  const scores = new Map(all.map(({ key, score }) => [key, score]))
  const first = scorer.search(prompt, 5, none)
  const skip = new Set([...first.map(({ key }) => key), ...Array.from({ length: 100 }, (_, task) => `t${task}`)])
  const others = scorer.search(prompt, 60, skip)
  assert.equal(others.length, 60)
  assert.ok(others.every(({ key }) => !skip.has(key)))
  assert.equal(scorer.search(prompt, 300, skip).length, 200 - skip.size)
  for (const { key, score } of [...first, ...others]) assert.equal(score, scores.get(key), key)
})
