import assert from 'node:assert/strict'
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { vectorCache, type VectorOrigin } from '../../src/retrieve/vector-cache.ts'
import { digestOf } from '../support/fakes.ts'
import { temporaryFolder } from '../support/peft-files.ts'

const origin: VectorOrigin = {
  encoder: { digest: digestOf('encoder'), dimension: 3 },
  prefix: 'P: ',
  samples: ['one', 'two'],
}
const vectors = Float32Array.of(0.6, 0, -0.8, 0, 1, 0)

test('vectors come back for the same encoder, prefix and samples, and for no other', async t => {
  const folder = join(await temporaryFolder(t), 'not', 'there', 'yet')
  await vectorCache(folder).set(origin, vectors)
  const cache = vectorCache(folder)
  assert.deepEqual(await cache.get(origin), vectors)
  for (const other of [
    { ...origin, encoder: { ...origin.encoder, digest: digestOf('another') } },
    { ...origin, encoder: { ...origin.encoder, dimension: 4 } },
    { ...origin, prefix: '' },
    { ...origin, samples: ['one'] },
    { ...origin, samples: ['two', 'one'] },
    { ...origin, samples: ['onetwo'] },
  ]) {
    assert.equal(await cache.get(other), undefined)
  }
})

test('a damaged file counts as none and is written anew', async t => {
  const folder = await temporaryFolder(t)
  const cache = vectorCache(folder)
  await cache.set(origin, vectors)
  const [name = ''] = await readdir(folder)
  const bytes = await readFile(join(folder, name))
  for (let place = 0; place < bytes.length; place += 1) {
    const broken = Buffer.from(bytes)
    broken[place] = (broken[place] ?? 0) ^ 0x10
    await writeFile(join(folder, name), broken)
    assert.equal(await cache.get(origin), undefined)
  }
  for (const wrong of [bytes.subarray(0, 20), Buffer.alloc(0), Buffer.concat([bytes, bytes])]) {
    await writeFile(join(folder, name), wrong)
    assert.equal(await cache.get(origin), undefined)
  }
  await cache.set(origin, vectors)
  assert.deepEqual(await cache.get(origin), vectors)
})

test('nothing half-written is left: only whole vectors, and the leftovers of dead processes go', async t => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'old.tmp'), 'x')
  await utimes(join(folder, 'old.tmp'), 1, 1)
  await writeFile(join(folder, 'young.tmp'), 'x')
  const cache = vectorCache(folder)
  await Promise.all(
    Array.from({ length: 20 }, (_, index) => cache.set({ ...origin, prefix: String(index % 5) }, vectors)),
  )
  const names = (await readdir(folder)).toSorted()
  assert.equal(names.filter(name => name.endsWith('.vector')).length, 5)
  assert.deepEqual(
    names.filter(name => name.endsWith('.tmp')),
    ['young.tmp'],
  )
})
