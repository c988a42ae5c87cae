import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { hnsw } from '../../src/retrieve/hnsw-index.ts'
import { cosine } from '../../src/retrieve/linear-scorers.ts'
import { RETRIEVAL_PREFIX } from '../../src/retrieve/pool.ts'
import { vectorCache } from '../../src/retrieve/vector-cache.ts'
import { adapter, hashEncoder } from '../support/fakes.ts'
import { temporaryFolder, writeAdapter } from '../support/peft-files.ts'
import { added, caughtUp, idsOf, openFor, query, script, watchedEncoder, zoo } from '../support/pools.ts'

test('by cosine, the nearest adapters come best first, with the cosine of prompt and mean sample', async t => {
  const encoder = hashEncoder(256)
  const pool = await openFor(t, { source: script(...zoo, caughtUp), encoder, scorer: cosine() })
  const { hits } = await pool.retrieve([query('is it cold today'), query('what rhymes with dog', { k: 1 })])
  assert.deepEqual(idsOf({ ...(await pool.retrieve([])), hits }), [['weather', 'sums', 'rhymes'], ['rhymes']])

  const encode = async (texts: readonly string[]): Promise<readonly Float32Array[]> =>
    await encoder.encode(texts.map(text => RETRIEVAL_PREFIX + text))
  const [prompt = new Float32Array()] = await encode(['is it cold today'])
  const samples = await encode(['will it rain today', 'is it windy today', 'how warm is it today'])
  const mean = prompt.map((_, at) => samples.reduce((sum, sample) => sum + (sample[at] ?? 0), 0) / samples.length)
  const dot = prompt.reduce((sum, value, at) => sum + value * (mean[at] ?? 0), 0)
  const [first] = hits[0] !== undefined && !('code' in hits[0]) ? hits[0] : []
  assert.ok(Math.abs((first?.score ?? 0) - dot / Math.hypot(...mean)) < 1e-6)
})

test('prompts and samples are encoded with the prefix, each text once a window', async t => {
  const encoder = watchedEncoder()
  const pool = await openFor(t, { source: script(zoo[1], caughtUp), encoder, prefix: 'P: ' })
  await pool.retrieve([query('one'), query('two'), query('one', { k: 1 })])
  assert.deepEqual(encoder.texts, ['P: add two and three', 'P: what is four times five', 'P: one', 'P: two'])
})

test('k and exclude bound what comes', async t => {
  const pool = await openFor(t, { source: script(...zoo, caughtUp) })
  const text = 'is it cold today'
  const found = await pool.retrieve([
    query(text, { k: 0 }),
    query(text, { k: 1 }),
    query(text, { k: 99 }),
    query(text, { k: 1, exclude: ['weather', 'nobody'] }),
    query(text, { exclude: ['weather', 'rhymes', 'sums'] }),
  ])
  assert.deepEqual(idsOf(found), [[], ['weather'], ['weather', 'sums', 'rhymes'], ['sums'], []])
})

test('named adapters come as they were named, without a search', async t => {
  const encoder = watchedEncoder()
  const pool = await openFor(t, { source: script(...zoo, caughtUp), encoder })
  encoder.texts.length = 0
  const named = [{ id: 'silent', weight: 0.25 }, { id: 'sums' }]
  const { hits } = await pool.retrieve([
    query('x', { adapters: named, exclude: ['sums'] }),
    query('x', { adapters: [] }),
  ])
  assert.deepEqual(hits, [
    [
      { adapter: adapter('silent'), score: null, weight: 0.25 },
      { adapter: adapter('sums'), score: null },
    ],
    [],
  ])
  assert.deepEqual(encoder.texts, [])
})

test('a name that is not admitted fails its own query, and says why when the adapter was refused', async t => {
  const error = { code: 'ADAPTER_INVALID', message: 'bad/adapter_config.json: r is 0' } as const
  const pool = await openFor(t, { source: script(...zoo, { type: 'refused', id: 'bad', error }, caughtUp) })
  const { hits } = await pool.retrieve([
    query('x', { adapters: [{ id: 'sums' }, { id: 'nobody' }] }),
    query('x', { adapters: [{ id: 'bad' }] }),
    query('add one and one', { k: 1 }),
  ])
  assert.deepEqual(hits[0], { code: 'ADAPTER_UNKNOWN', message: 'adapter "nobody" is not in the pool' })
  assert.deepEqual(hits[1], {
    code: 'ADAPTER_UNKNOWN',
    message: 'adapter "bad" was refused: bad/adapter_config.json: r is 0',
  })
  assert.deepEqual(idsOf({ pool: pool.describe().facts, hits: hits.slice(2) }), [['sums']])
})

test('an empty pool opens and leaves every prompt to the base, without encoding', async t => {
  const encoder = watchedEncoder()
  const pool = await openFor(t, { source: script(caughtUp), encoder })
  const found = await pool.retrieve([query('anything'), query('x', { adapters: [{ id: 'a' }] })])
  assert.deepEqual(idsOf(found), [[], 'ADAPTER_UNKNOWN'])
  assert.equal(found.pool.size, 0)
  assert.deepEqual(encoder.texts, [])
})

test('with a cache, unchanged adapters are not encoded again', async t => {
  const cache = vectorCache(join(await temporaryFolder(t), 'vectors'))
  const first = await openFor(t, { source: script(...zoo, caughtUp), cache, scorer: cosine() })
  const before = await first.retrieve([query('is it cold today')])
  const encoder = watchedEncoder()
  const source = script(...zoo, added('new', 'brand new'), caughtUp)
  const again = await openFor(t, { source, cache, encoder, scorer: cosine() })
  assert.deepEqual(encoder.texts, [`${RETRIEVAL_PREFIX}brand new`])
  assert.deepEqual(again.describe().vectors, { cached: 3, encoded: 1 })
  assert.deepEqual((await again.retrieve([query('is it cold today', { exclude: ['new'] })])).hits, before.hits)
  const other = await openFor(t, { source: script(...zoo, caughtUp), cache, prefix: '' })
  assert.deepEqual(other.describe().vectors, { cached: 0, encoded: 3 })
})

test('a cache that cannot be written is told, and costs nothing else', async t => {
  const file = join(await temporaryFolder(t), 'file')
  await writeAdapter(file)
  const pool = await openFor(t, {
    source: script(...zoo, caughtUp),
    cache: vectorCache(join(file, 'samples.jsonl', '..', 'adapter_config.json')),
  })
  assert.equal(pool.describe().facts.size, 4)
  assert.match(pool.describe().vectors.error ?? '', /EEXIST|ENOTDIR/)
})

test('the hnsw index serves a pool as the exact one does', async t => {
  const [exact, near] = await Promise.all([
    openFor(t, { source: script(...zoo, caughtUp) }),
    openFor(t, { source: script(...zoo, caughtUp), index: hnsw() }),
  ])
  const queries = [
    query('is it cold today'),
    query('what rhymes with moon', { k: 1 }),
    query('add', { exclude: ['sums'] }),
  ]
  assert.deepEqual(idsOf(await near.retrieve(queries)), idsOf(await exact.retrieve(queries)))
})
