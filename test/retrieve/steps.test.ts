import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Steps } from '../../src/retrieve/steps.ts'

/** Counts to three, and how often it was asked. */
function counting(): { readonly taken: number[]; readonly steps: Steps<string> } {
  const taken: number[] = []
  function* work(): Generator<void, string> {
    for (let step = 1; step <= 3; step += 1) {
      taken.push(step)
      yield
    }
    return 'done'
  }
  return { taken, steps: new Steps(work()) }
}

test('each step is taken once, by whoever comes', () => {
  const { taken, steps } = counting()
  const [one, other] = [steps.rest(), steps.rest()]
  one.next()
  other.next()
  assert.deepEqual(taken, [1, 2])
  assert.equal(steps.finish(), 'done')
  assert.deepEqual(one.next(), { done: true, value: 'done' })
  assert.equal(steps.finish(), 'done')
  assert.deepEqual(taken, [1, 2, 3])
})

test('work that was left off goes on where it was', () => {
  const { taken, steps } = counting()
  for (const _ of steps.rest()) break
  assert.deepEqual(taken, [1])
  assert.deepEqual([...steps.rest()].length, 2)
  assert.equal(steps.finish(), 'done')
})
