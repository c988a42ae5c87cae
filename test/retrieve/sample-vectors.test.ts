import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { ModelError } from '../../src/errors.ts'
import type { Encoder } from '../../src/ports.ts'
import { encodeTexts, vectorsOf } from '../../src/retrieve/sample-vectors.ts'
import { vectorCache } from '../../src/retrieve/vector-cache.ts'
import { hashEncoder } from '../support/fakes.ts'
import { temporaryFolder } from '../support/peft-files.ts'
import { watchedEncoder } from '../support/pools.ts'

const texts = ['one', 'two', 'three']

test('samples get the vectors of their texts behind the prefix, from the encoder and then from the cache', async t => {
  const cache = vectorCache(await temporaryFolder(t))
  const encoder = watchedEncoder()
  const first = await vectorsOf(texts, { encoder, prefix: 'P: ', cache })
  assert.deepEqual(encoder.texts, ['P: one', 'P: two', 'P: three'])
  const vectors = await encoder.encode(texts.map(text => `P: ${text}`))
  assert.deepEqual(
    first.samples,
    texts.map((text, at) => ({ text, vector: vectors[at] })),
  )
  assert.equal(first.from, 'encoder')
  encoder.texts.length = 0
  assert.deepEqual(await vectorsOf(texts, { encoder, prefix: 'P: ', cache }), { ...first, from: 'cache' })
  assert.deepEqual(encoder.texts, [])
})

test('vectors that are too few, of another dimension or not finite are refused, and not kept', async t => {
  const cache = vectorCache(await temporaryFolder(t))
  const sound = hashEncoder()
  for (const [wrong, says] of [
    [(vectors: readonly Float32Array[]) => vectors.slice(1), /gave 2 vectors for 3 texts/],
    [(vectors: readonly Float32Array[]) => [...vectors, ...vectors], /gave 6 vectors for 3 texts/],
    [(vectors: readonly Float32Array[]) => vectors.map(vector => vector.slice(1)), /has 63 dimensions, expected 64/],
    [(vectors: readonly Float32Array[]) => vectors.map(vector => vector.fill(Number.NaN)), /holds NaN at 0/],
  ] as const) {
    const encoder: Encoder = { ...sound, encode: async asked => wrong(await sound.encode(asked)) }
    const how = { encoder, prefix: '', cache }
    await assert.rejects(vectorsOf(texts, how), error => error instanceof ModelError && says.test(error.message))
    assert.equal(await cache.get({ encoder: encoder.facts, prefix: '', samples: texts }), undefined)
  }
  const none: Encoder = { ...sound, encode: async () => [] }
  await assert.rejects(encodeTexts(['one'], { encoder: none, prefix: '' }), /gave 0 vectors for 1 texts/)
})

test('a cache that cannot be written is told, and the vectors are there', async t => {
  const file = join(await temporaryFolder(t), 'file')
  await writeFile(file, '')
  const found = await vectorsOf(texts, { encoder: hashEncoder(), prefix: '', cache: vectorCache(join(file, 'in')) })
  assert.equal(found.samples.length, 3)
  assert.match(found.error ?? '', /ENOTDIR|EEXIST/)
})
