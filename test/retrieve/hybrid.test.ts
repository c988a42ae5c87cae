import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Sample } from '../../src/ports.ts'
import { hybrid } from '../../src/retrieve/hybrid.ts'
import { ask, scorerContract } from '../contracts/scorer.ts'

scorerContract('hybrid', () => hybrid(), { lends: true })

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
  for (const { own, others, without } of held) {
    const [twin = NaN, next = NaN] = others
    // What the own adapter lends its twin, this has only beside it.
    assert.ok(twin > (without[0] ?? NaN), `${twin} beside the own adapter, ${without[0]} without it`)
    assert.ok(twin - next > Math.abs(own - twin), `own ${own}, others ${others.slice(0, 3).join(', ')}`)
  }
})

test('hybrid: in a pool too large for all to be scored as many come as are asked for, up to 48 with the same scores', () => {
  const scorer = hybrid()
  for (let task = 0; task < 200; task += 1)
    scorer.add(
      `t${task}`,
      [0, 1, 2].map(at => sampleOf(task % DIMENSION, 3 * task + at)),
    )
  const prompt = sampleOf(5, 9_999)
  const none: ReadonlySet<string> = new Set()
  const [few, more, most] = [5, 33, 48].map(k => ask(scorer, prompt, k, none))
  assert.deepEqual(few, most?.slice(0, 5))
  assert.deepEqual(more, most?.slice(0, 33))
  assert.equal(ask(scorer, prompt, 200, none).length, 200)
  const skip = new Set([...(few ?? []).map(({ key }) => key), ...Array.from({ length: 100 }, (_, task) => `t${task}`)])
  const others = ask(scorer, prompt, 60, skip)
  assert.equal(others.length, 60)
  assert.ok(others.every(({ key }) => !skip.has(key)))
  assert.equal(ask(scorer, prompt, 300, skip).length, 200 - skip.size)
})

test('hybrid: in a pool of which all are scored, a score is the same whatever k is', () => {
  const scorer = hybrid()
  for (let task = 0; task < 128; task += 1)
    scorer.add(
      `t${task}`,
      [0, 1, 2].map(at => sampleOf(task % DIMENSION, 3 * task + at)),
    )
  const all = ask(scorer, sampleOf(5, 9_999), 128, new Set())
  assert.equal(all.length, 128)
  for (const k of [1, 5, 48, 64]) assert.deepEqual(ask(scorer, sampleOf(5, 9_999), k, new Set()), all.slice(0, k))
})

/** Three subjects of four adapters; each adapter has words of its own. */
function subjects() {
  const scorer = hybrid()
  for (let subject = 0; subject < 3; subject += 1)
    for (let one = 0; one < 4; one += 1)
      scorer.add(
        `s${subject}-${one}`,
        Array.from({ length: 8 }, (_, at) => ({
          ...sampleOf(subject, 8 * one + at),
          text: `word${subject}${one} number ${at}`,
        })),
      )
  // In the words of one adapter; its vector says little, and for another subject.
  const vague = Float32Array.from({ length: DIMENSION }, (_, axis) => (axis === 0 ? 0.2 : axis === 63 ? 1 : 0))
  return { scorer, prompt: { text: 'word11 number 70', vector: vague } }
}

test('hybrid: behind adapters whose samples are like a prompt come those that are like these adapters', () => {
  const { scorer, prompt } = subjects()
  const found = ask(scorer, prompt, 4, new Set())
  assert.deepEqual(
    found.map(({ key }) => key).toSorted(),
    [0, 1, 2, 3].map(one => `s1-${one}`),
  )
  assert.equal(found[0]?.key, 's1-1')
})

test('hybrid: an adapter that a prompt excludes speaks for nobody', () => {
  const { scorer, prompt } = subjects()
  const found = ask(scorer, prompt, 4, new Set(['s1-1']))
  assert.ok(!found.some(({ key }) => key.startsWith('s1')), found.map(({ key }) => key).join(', '))
})
