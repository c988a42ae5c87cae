import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { firstValueFrom, Observable, Subject } from 'rxjs'
import { peftDirectory } from '../../src/adapters/peft-directory.ts'
import { AdapterError, ConfigError, StageError } from '../../src/errors.ts'
import type { Adapter } from '../../src/lora.ts'
import type { AdapterChange, AdapterSource, Encoder, Query, Retrieval } from '../../src/ports.ts'
import { hnsw } from '../../src/retrieve/hnsw-index.ts'
import { openPool, RETRIEVAL_PREFIX, type OpenPool, type PoolOptions } from '../../src/retrieve/pool.ts'
import { vectorCache } from '../../src/retrieve/vector-cache.ts'
import { adapter, digestOf, hashEncoder } from '../support/fakes.ts'
import { temporaryFolder, writeAdapter } from '../support/peft-files.ts'

const added = (id: string, ...samples: readonly string[]): AdapterChange => ({
  type: 'added',
  adapter: adapter(id),
  samples,
})
const query = (text: string, options: Partial<Query> = {}): Query => ({ text, k: 3, exclude: [], ...options })
const caughtUp: AdapterChange = { type: 'caught-up' }

/** What a retrieval found, as ids, and the code where there is an error. */
const idsOf = (found: Retrieval): readonly (readonly string[] | string)[] =>
  found.hits.map(hits => ('code' in hits ? hits.code : hits.map(hit => hit.adapter.id)))

/** A source that tells what the test has it tell. */
function script(
  ...before: readonly AdapterChange[]
): AdapterSource & { readonly told: Subject<AdapterChange>; closed: boolean } {
  const told = new Subject<AdapterChange>()
  return {
    told,
    closed: false,
    changes: new Observable(subscriber => {
      for (const change of before) subscriber.next(change)
      return told.subscribe(subscriber)
    }),
    async close() {
      this.closed = true
    },
  }
}

const nothing = (): void => undefined

/** The hash encoder, remembering its texts; `hold` makes the next calls wait until they are let go. */
function watchedEncoder(): Encoder & { readonly texts: string[]; hold(): () => void; closed: boolean } {
  const encoder = hashEncoder(256)
  const texts: string[] = []
  let gate: Promise<void> = Promise.resolve()
  return {
    ...encoder,
    texts,
    closed: false,
    hold() {
      let release = nothing
      gate = new Promise(resolve => (release = resolve))
      return release
    },
    async encode(given) {
      texts.push(...given)
      await gate
      if (given.some(text => text.includes('poison'))) throw new Error('the encoder broke')
      return await encoder.encode(given)
    },
    async close() {
      this.closed = true
    },
  }
}

async function open(t: TestContext, options: Partial<PoolOptions> & Pick<PoolOptions, 'source'>): Promise<OpenPool> {
  const pool = await openPool({ encoder: hashEncoder(256), ...options })
  t.after(() => pool.close())
  return pool
}

/** Lets everything that is ready to run have its turn. */
const settled = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

const zoo = [
  added('weather', 'will it rain today', 'is it windy today', 'how warm is it today'),
  added('sums', 'add two and three', 'what is four times five'),
  added('rhymes', 'a word that rhymes with moon', 'what rhymes with cat'),
  added('silent'),
] as const

test('the nearest adapters come best first, with the cosine of prompt and mean sample', async t => {
  const encoder = hashEncoder(256)
  const pool = await open(t, { source: script(...zoo, caughtUp), encoder })
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
  const pool = await open(t, { source: script(zoo[1], caughtUp), encoder, prefix: 'P: ' })
  await pool.retrieve([query('one'), query('two'), query('one', { k: 1 })])
  assert.deepEqual(encoder.texts, ['P: add two and three', 'P: what is four times five', 'P: one', 'P: two'])
})

test('k, exclude and minScore bound what comes', async t => {
  const pool = await open(t, { source: script(...zoo, caughtUp) })
  const text = 'is it cold today'
  const found = await pool.retrieve([
    query(text, { k: 0 }),
    query(text, { k: 1 }),
    query(text, { k: 99 }),
    query(text, { k: 1, exclude: ['weather', 'nobody'] }),
    query(text, { exclude: ['weather', 'rhymes', 'sums'] }),
  ])
  assert.deepEqual(idsOf(found), [[], ['weather'], ['weather', 'sums', 'rhymes'], ['sums'], []])
  const strict = await open(t, { source: script(...zoo, caughtUp), minScore: 0.99 })
  assert.deepEqual(idsOf(await strict.retrieve([query(text), query(text, { adapters: [{ id: 'sums' }] })])), [
    [],
    ['sums'],
  ])
  await assert.rejects(openPool({ source: script(), encoder: hashEncoder(), minScore: Number.NaN }), ConfigError)
})

test('named adapters come as they were named, without a search', async t => {
  const encoder = watchedEncoder()
  const pool = await open(t, { source: script(...zoo, caughtUp), encoder })
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
  const pool = await open(t, { source: script(...zoo, { type: 'refused', id: 'bad', error }, caughtUp) })
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

test('each change is an epoch, and the pool says what is in it', async t => {
  const source = script(...zoo, caughtUp)
  const pool = await open(t, { source })
  const { facts } = pool.describe()
  assert.deepEqual(facts, { epoch: 4, size: 4, encoder: { id: 'hash', digest: digestOf('hash-256') } })
  source.told.next({ type: 'removed', id: adapter('sums').id })
  source.told.next({ type: 'removed', id: adapter('nobody').id })
  assert.deepEqual(pool.describe().facts, { ...facts, epoch: 5, size: 3 })
  source.told.next({ type: 'refused', id: 'sums', error: { code: 'ADAPTER_INVALID', message: 'torn' } })
  const described = pool.describe()
  assert.deepEqual(
    described.adapters.map(member => [member.adapter.id, member.samples]),
    [
      ['rhymes', 2],
      ['silent', 0],
      ['weather', 3],
    ],
  )
  assert.deepEqual(described.refused, [{ id: 'sums', error: { code: 'ADAPTER_INVALID', message: 'torn' } }])
  assert.deepEqual(described.vectors, { cached: 0, encoded: 3 })
  source.told.next(zoo[1])
  await settled()
  assert.deepEqual(pool.describe().facts, { ...facts, epoch: 6 })
  assert.deepEqual(pool.describe().refused, [])
})

test('an empty pool opens and leaves every prompt to the base, without encoding', async t => {
  const encoder = watchedEncoder()
  const pool = await open(t, { source: script(caughtUp), encoder })
  const found = await pool.retrieve([query('anything'), query('x', { adapters: [{ id: 'a' }] })])
  assert.deepEqual(idsOf(found), [[], 'ADAPTER_UNKNOWN'])
  assert.equal(found.pool.size, 0)
  assert.deepEqual(encoder.texts, [])
})

test('what changes while prompts are encoded is seen whole: facts and hits are of one epoch', async t => {
  const encoder = watchedEncoder()
  const source = script(...zoo, caughtUp)
  const pool = await open(t, { source, encoder })
  const release = encoder.hold()
  const asked = pool.retrieve([query('is it cold today'), query('x', { adapters: [{ id: 'weather' }] })])
  source.told.next({ type: 'removed', id: adapter('weather').id })
  source.told.next(added('late'))
  release()
  const found = await asked
  assert.deepEqual(idsOf(found), [['sums', 'rhymes'], 'ADAPTER_UNKNOWN'])
  assert.deepEqual([found.pool.epoch, found.pool.size], [6, 4])
})

test('an adapter that is removed or replaced while its samples are encoded is not admitted', async t => {
  const encoder = watchedEncoder()
  const source = script(caughtUp)
  const pool = await open(t, { source, encoder })
  const release = encoder.hold()
  source.told.next(added('gone', 'a sample'))
  source.told.next(added('moved', 'old'))
  await settled()
  source.told.next({ type: 'removed', id: adapter('gone').id })
  source.told.next({ type: 'removed', id: adapter('moved').id })
  const fresh: Adapter = { ...adapter('moved'), digest: digestOf('new bytes') }
  source.told.next({ type: 'added', adapter: fresh, samples: ['new'] })
  assert.equal(pool.describe().facts.size, 0)
  release()
  await settled()
  assert.deepEqual(pool.describe().adapters, [{ adapter: fresh, samples: 1 }])
  assert.equal(pool.describe().facts.epoch, 1)
  assert.ok(!encoder.texts.some(text => text.endsWith('old')))
})

test('an adapter whose samples cannot be encoded is refused, and the others serve', async t => {
  const changes: string[] = []
  const pool = await open(t, {
    source: script(added('bad', 'poison'), ...zoo, caughtUp),
    encoder: watchedEncoder(),
    onChange: change => changes.push(change.type),
  })
  assert.deepEqual(pool.describe().refused, [
    { id: 'bad', error: { code: 'STAGE_FAILED', message: 'the encoder broke' } },
  ])
  assert.equal(pool.describe().facts.size, 4)
  assert.deepEqual(changes.toSorted(), ['added', 'added', 'added', 'added', 'caught-up', 'refused'])
})

test('a source that fails while the pool opens, or ends too soon, fails the opening and closes both parts', async () => {
  for (const end of ['error', 'complete'] as const) {
    const [source, encoder] = [script(), watchedEncoder()]
    const opening = openPool({ source, encoder: Promise.resolve(encoder) })
    await settled()
    if (end === 'error') source.told.error(new ConfigError('no folder'))
    else source.told.complete()
    await assert.rejects(opening, end === 'error' ? ConfigError : StageError)
    assert.deepEqual([source.closed, encoder.closed], [true, true])
  }
  const source = script(caughtUp)
  await assert.rejects(openPool({ source, encoder: Promise.reject(new ConfigError('no encoder')) }), /no encoder/)
  assert.equal(source.closed, true)
})

test('a source that fails later fails every retrieval: the pool may be out of date', async t => {
  const source = script(...zoo, caughtUp)
  const pool = await open(t, { source })
  source.told.error(new AdapterError('topic gone'))
  await assert.rejects(pool.retrieve([query('x')]), error => {
    assert.ok(error instanceof StageError)
    assert.match(String(error.cause), /topic gone/)
    return true
  })
})

test('closing the pool closes its source and its encoder', async () => {
  const [source, encoder] = [script(caughtUp), watchedEncoder()]
  const pool = await openPool({ source, encoder })
  await pool.close()
  assert.deepEqual([source.closed, encoder.closed], [true, true])
  source.told.next(added('late'))
  assert.equal(pool.describe().facts.size, 0)
})

test('with a cache, unchanged adapters are not encoded again', async t => {
  const cache = vectorCache(join(await temporaryFolder(t), 'vectors'))
  const first = await open(t, { source: script(...zoo, caughtUp), cache })
  const before = await first.retrieve([query('is it cold today')])
  const encoder = watchedEncoder()
  const again = await open(t, { source: script(...zoo, added('new', 'brand new'), caughtUp), cache, encoder })
  assert.deepEqual(encoder.texts, [`${RETRIEVAL_PREFIX}brand new`])
  assert.deepEqual(again.describe().vectors, { cached: 3, encoded: 1 })
  assert.deepEqual((await again.retrieve([query('is it cold today', { exclude: ['new'] })])).hits, before.hits)
  const other = await open(t, { source: script(...zoo, caughtUp), cache, prefix: '' })
  assert.deepEqual(other.describe().vectors, { cached: 0, encoded: 3 })
})

test('a cache that cannot be written is told, and costs nothing else', async t => {
  const file = join(await temporaryFolder(t), 'file')
  await writeAdapter(file)
  const pool = await open(t, {
    source: script(...zoo, caughtUp),
    cache: vectorCache(join(file, 'samples.jsonl', '..', 'adapter_config.json')),
  })
  assert.equal(pool.describe().facts.size, 4)
  assert.match(pool.describe().vectors.error ?? '', /EEXIST|ENOTDIR/)
})

test('the hnsw index serves a pool as the exact one does', async t => {
  const [exact, near] = await Promise.all([
    open(t, { source: script(...zoo, caughtUp) }),
    open(t, { source: script(...zoo, caughtUp), index: hnsw() }),
  ])
  const queries = [
    query('is it cold today'),
    query('what rhymes with moon', { k: 1 }),
    query('add', { exclude: ['sums'] }),
  ]
  assert.deepEqual(idsOf(await near.retrieve(queries)), idsOf(await exact.retrieve(queries)))
})

test('a folder of adapters is served while it changes', async t => {
  const folder = await temporaryFolder(t)
  await writeAdapter(join(folder, 'one'), { samples: ['is it cold today'] })
  const changes = new Subject<AdapterChange>()
  const pool = await open(t, {
    source: peftDirectory(folder, { settleMs: 20, rescanMs: 50 }),
    onChange: change => changes.next(change),
  })
  assert.deepEqual(idsOf(await pool.retrieve([query('cold', { k: 1 })])), [['one']])
  const alive = setInterval(nothing, 1000)
  t.after(() => clearInterval(alive))
  const told = firstValueFrom(changes)
  await writeAdapter(join(folder, 'two'), { samples: ['cold', 'cold'] })
  assert.equal((await told).type, 'added')
  assert.deepEqual(idsOf(await pool.retrieve([query('cold', { k: 1 })])), [['two']])
})
