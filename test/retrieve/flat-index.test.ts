import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flat } from '../../src/retrieve/flat-index.ts'
import { unit, vectorIndexContract } from '../contracts/vector-index.ts'

vectorIndexContract('flat', flat, 1)

test('equal scores come in the order of their keys, whatever order they were added in', () => {
  const index = flat()
  for (const key of ['c', 'a', 'd', 'b']) index.add(key, unit([1, 0]))
  assert.deepEqual(
    index.search(unit([1, 0]), 3, new Set()).map(({ key }) => key),
    ['a', 'b', 'c'],
  )
})
