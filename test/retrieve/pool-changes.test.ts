import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { firstValueFrom, Subject } from 'rxjs'
import { peftDirectory } from '../../src/adapters/peft-directory.ts'
import { AdapterError, ConfigError, StageError } from '../../src/errors.ts'
import type { Adapter } from '../../src/lora.ts'
import type { AdapterChange, Scorer } from '../../src/ports.ts'
import { cosine } from '../../src/retrieve/linear-scorers.ts'
import { openPool } from '../../src/retrieve/pool.ts'
import { adapter, digestOf } from '../support/fakes.ts'
import { temporaryFolder, writeAdapter } from '../support/peft-files.ts'
import {
  added,
  caughtUp,
  idsOf,
  nothing,
  openFor,
  query,
  script,
  settled,
  watchedEncoder,
  zoo,
} from '../support/pools.ts'

test('each change is an epoch, and the pool says what is in it', async t => {
  const source = script(...zoo, caughtUp)
  const pool = await openFor(t, { source })
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

test('what changes while prompts are encoded is seen whole: facts and hits are of one epoch', async t => {
  const encoder = watchedEncoder()
  const source = script(...zoo, caughtUp)
  const pool = await openFor(t, { source, encoder })
  const release = encoder.hold()
  const asked = pool.retrieve([query('is it cold today'), query('x', { adapters: [{ id: 'weather' }] })])
  source.told.next({ type: 'removed', id: adapter('weather').id })
  source.told.next(added('late'))
  await settled()
  release()
  const found = await asked
  assert.deepEqual(idsOf(found), [['sums', 'rhymes'], 'ADAPTER_UNKNOWN'])
  assert.deepEqual([found.pool.epoch, found.pool.size], [6, 4])
})

test('an adapter that is removed or replaced while its samples are encoded is not admitted', async t => {
  const encoder = watchedEncoder()
  const source = script(caughtUp)
  const pool = await openFor(t, { source, encoder })
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
  const pool = await openFor(t, {
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
  const pool = await openFor(t, { source })
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

test('a folder of adapters is served while it changes', async t => {
  const folder = await temporaryFolder(t)
  await writeAdapter(join(folder, 'one'), { samples: ['is it cold today'] })
  const changes = new Subject<AdapterChange>()
  const pool = await openFor(t, {
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

/** The cosine, counting how often it is asked for left-out samples, which is what calibrating costs. */
function countedScorer(): Scorer & { calibrations: number } {
  const scorer = cosine()
  return {
    calibrations: 0,
    get size() {
      return scorer.size
    },
    add: (key, samples) => scorer.add(key, samples),
    remove: key => scorer.remove(key),
    search: questions => scorer.search(questions),
    prepare: () => scorer.prepare(),
    heldOut() {
      this.calibrations += 1
      return scorer.heldOut()
    },
  }
}

test('the pool is calibrated once when it opens, however slowly adapters come, and after each change before it is asked', async t => {
  const [source, scorer] = [script(), countedScorer()]
  const opening = openFor(t, { source, scorer })
  for (const change of zoo) {
    await settled()
    source.told.next(change)
  }
  await settled()
  source.told.next(caughtUp)
  const pool = await opening
  assert.equal(scorer.calibrations, 1)
  source.told.next({ type: 'removed', id: adapter('sums').id })
  await settled()
  assert.equal(scorer.calibrations, 2)
  source.told.next(added('late', 'a late sample', 'another one'))
  await settled()
  assert.equal(scorer.calibrations, 3)
  await pool.retrieve([query('late')])
  assert.equal(scorer.calibrations, 3)
})

test('a question that comes while a change is being prepared for waits until it is, and others have their turn meanwhile', async t => {
  const source = script(...zoo, caughtUp)
  const plain = cosine()
  const seen = { steps: 0, turns: 0, stepsWhenAsked: -1 }
  const scorer: Scorer = {
    get size() {
      return plain.size
    },
    add: (key, samples) => plain.add(key, samples),
    remove: key => plain.remove(key),
    search(questions) {
      seen.stepsWhenAsked = seen.steps
      return plain.search(questions)
    },
    *prepare() {
      seen.steps = 0
      for (let step = 0; step < 4; step += 1) {
        // Longer than others are made to wait.
        for (const until = performance.now() + 20; performance.now() < until;);
        seen.steps += 1
        yield
      }
    },
    heldOut: () => plain.heldOut(),
  }
  const pool = await openFor(t, { source, scorer })
  seen.steps = 0
  source.told.next(added('late', 'a late sample', 'another one'))
  while (seen.steps === 0) await settled()
  assert.ok(seen.steps < 4)
  const asked = pool.retrieve([query('a late sample', { k: 1 })])
  for (; seen.steps < 4; seen.turns += 1) await settled()
  assert.deepEqual(idsOf(await asked), [['late']])
  assert.equal(seen.stepsWhenAsked, 4)
  assert.ok(seen.turns > 1)
})

test('a listener that throws fails every retrieval, and refuses no adapter', async t => {
  const source = script(...zoo, caughtUp)
  const pool = await openFor(t, {
    source,
    onChange: change => {
      if (change.type === 'added' && change.adapter.id === 'late') throw new Error('the listener broke')
    },
  })
  source.told.next(added('late', 'a sample'))
  await settled()
  await assert.rejects(pool.retrieve([query('x')]), /no longer follows/)
  assert.deepEqual(pool.describe().refused, [])
})
