import assert from 'node:assert/strict'
import { test } from 'node:test'
import { firstValueFrom, from, of, toArray } from 'rxjs'
import { ConfigError } from '../../src/errors.ts'
import type { Placed, Prompt, Retrieved, Window } from '../../src/events.ts'
import type { Pool } from '../../src/ports.ts'
import { retrieve, type RetrieveOptions } from '../../src/retrieve/retrieve.ts'
import { adapter, fixedPool, message } from '../support/fakes.ts'

const adapters = ['a', 'b', 'c', 'd'].map(id => adapter(id))

function windowOf(values: readonly Prompt[]): Window<Placed> {
  const items = values.map((value, row) => ({ ...message(value, row), row, queuedMs: 0 }))
  return { id: 'w', closedBy: 'SIZE', size: items.length, items, failed: [], ms: {} }
}

async function retrieved(values: readonly Prompt[], pool: Pool, options?: RetrieveOptions): Promise<Window<Retrieved>> {
  return firstValueFrom(of(windowOf(values)).pipe(retrieve(pool, options)))
}

function ids({ items }: Window<Retrieved>): readonly string[] {
  return items.map(({ hits }) => hits.map(hit => hit.adapter.id).join(''))
}

test('retrieve: a window is one call of the pool, and every item carries the state that it was served from', async () => {
  const pool = fixedPool(adapters)
  const window = await retrieved([{ text: 'x' }, { text: 'y' }], pool, { k: 2 })
  assert.equal(pool.calls.length, 1)
  assert.deepEqual(ids(window), ['ab', 'ab'])
  assert.ok(window.items.every(item => item.pool.epoch === 1 && item.pool.size === 4))
  assert.ok((window.ms.retrieve ?? -1) >= 0)
})

test('retrieve: what a prompt says goes before the options', async () => {
  const prompts: readonly Prompt[] = [
    { text: 'default' },
    { text: 'k', k: 1 },
    { text: 'exclude', exclude: ['a', 'c'] },
    { text: 'named', adapters: [{ id: 'd', weight: 0.3 }, { id: 'b' }] },
    { text: 'base', strategy: 'base' },
  ]
  const window = await retrieved(prompts, fixedPool(adapters), { k: 3 })
  assert.deepEqual(ids(window), ['abc', 'a', 'bd', 'db', ''])
  assert.deepEqual(
    window.items[3]?.hits.map(({ score, weight }) => [score, weight]),
    [
      [null, 0.3],
      [null, undefined],
    ],
  )
})

test('retrieve: a topology for the base retrieves for the prompts that ask for a mix', async () => {
  const prompts: readonly Prompt[] = [{ text: 'x' }, { text: 'y', strategy: 'mixture' }, { text: 'z', k: 1 }]
  assert.deepEqual(ids(await retrieved(prompts, fixedPool(adapters), { k: 0 })), ['', 'abc', 'a'])
})

test('retrieve: a prompt that names an adapter which is not there fails alone', async () => {
  const window = await retrieved([{ text: 'x' }, { text: 'y', adapters: [{ id: 'gone' }] }], fixedPool(adapters))
  assert.deepEqual(ids(window), ['abc'])
  assert.deepEqual(
    window.failed.map(({ code, stage, message: { origin } }) => [code, stage, origin.offset]),
    [['ADAPTER_UNKNOWN', 'retrieve', 1n]],
  )
})

test('retrieve: hits below minScore are left out, named adapters stay', async () => {
  const prompts = [{ text: 'x' }, { text: 'y', adapters: [{ id: 'd' }] }]
  assert.deepEqual(ids(await retrieved(prompts, fixedPool(adapters), { k: 4, minScore: 0.75 })), ['ab', 'd'])
  assert.deepEqual(ids(await retrieved(prompts, fixedPool(adapters), { k: 4, minScore: 0.95 })), ['', 'd'])
})

test('retrieve: a pool that throws on one prompt costs that prompt alone', async () => {
  const fixed = fixedPool(adapters)
  const pool: Pool = {
    ...fixed,
    retrieve: async queries => {
      if (queries.some(({ text }) => text === 'poison')) throw new Error('poisoned')
      return fixed.retrieve(queries)
    },
  }
  const values = ['a', 'poison', 'b', 'c', 'd'].map(text => ({ text }))
  const window = await retrieved(values, pool)
  assert.deepEqual(
    window.items.map(({ value, row }) => `${row} ${value.text}`),
    ['0 a', '2 b', '3 c', '4 d'],
  )
  assert.deepEqual(
    window.failed.map(({ code, reason }) => [code, reason]),
    [['STAGE_FAILED', 'poisoned']],
  )
})

test('retrieve: a pool that answers too few queries loses nobody', async () => {
  const fixed = fixedPool(adapters)
  const pool: Pool = {
    ...fixed,
    retrieve: async queries => {
      const found = await fixed.retrieve(queries)
      return { ...found, hits: found.hits.slice(1) }
    },
  }
  const { items, failed } = await retrieved([{ text: 'a' }, { text: 'b' }], pool)
  assert.equal(items.length + failed.length, 2)
})

test('retrieve: windows stay in order', async () => {
  const windows = [windowOf([{ text: 'a' }]), windowOf([{ text: 'b' }])]
  const found = await firstValueFrom(from(windows).pipe(retrieve(fixedPool(adapters)), toArray()))
  assert.deepEqual(
    found.map(({ items }) => items[0]?.value.text),
    ['a', 'b'],
  )
})

test('retrieve: options out of range are refused by name', () => {
  for (const k of [-1, 1.5, 65, Number.NaN]) assert.throws(() => retrieve(fixedPool([]), { k }), /retrieve: k is/)
  assert.throws(() => retrieve(fixedPool([]), { minScore: Number.NaN }), ConfigError)
})
