import assert from 'node:assert/strict'
import { test } from 'node:test'
import { reused } from '../../src/retrieve/reused.ts'

test('reused: as long as asked for, the same memory each time, with room made where it is too short', () => {
  const numbers = reused(Float64Array)
  const three = numbers(3)
  three.set([1, 2, 3])
  assert.deepEqual([...numbers(2)], [1, 2])
  assert.deepEqual([...numbers(3)], [1, 2, 3])
  assert.equal(numbers(3), numbers(3))
  const many = numbers(100)
  assert.equal(many.length, 100)
  many[0] = 7
  assert.deepEqual([...numbers(1)], [7])
  assert.equal(numbers(0).length, 0)
})

test('reused: every caller has memory of its own', () => {
  const [one, other] = [reused(Int32Array), reused(Int32Array)]
  one(4).fill(1)
  assert.deepEqual([...other(4)], [0, 0, 0, 0])
})
