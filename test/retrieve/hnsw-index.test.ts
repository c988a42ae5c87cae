import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hnsw } from '../../src/retrieve/hnsw-index.ts'
import { ask, clusteredVectors, vectorIndexContract } from '../contracts/vector-index.ts'

vectorIndexContract('hnsw', hnsw, 0.99)

test('slots of removed vectors are used again, so endless replacing loses nothing', () => {
  const index = hnsw()
  const vectors = clusteredVectors(400, 16, 10, 9)
  for (let round = 0; round < 20; round += 1) {
    for (const [key, vector] of vectors.entries()) index.add(`${key % 200}`, vector)
  }
  assert.equal(index.size, 200)
  for (let key = 0; key < 200; key += 1) {
    const [found] = ask(index, vectors[200 + key] ?? new Float32Array(16), 1, new Set())
    assert.equal(found?.key, String(key))
  }
})
