import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { AdapterChange, AdapterSource } from '../../src/ports.ts'

/** A source that is not subscribed yet, and a hand on what it follows. `version` makes other bytes. */
export type SourceUnderTest = {
  readonly source: AdapterSource
  readonly put: (id: string, version?: number, samples?: readonly string[]) => Promise<void>
  readonly putBroken: (id: string) => Promise<void>
  readonly remove: (id: string) => Promise<void>
}

/** Everything that a source tells, and a way to wait for more of it. */
export function record(source: AdapterSource, t: TestContext): Recording {
  const changes: AdapterChange[] = []
  let wake: (() => void) | undefined
  let ended: { readonly error?: unknown } | undefined
  const signal = (): void => wake?.()
  const subscription = source.changes.subscribe({
    next: change => {
      changes.push(change)
      signal()
    },
    error: (error: unknown) => {
      ended = { error }
      signal()
    },
    complete: () => {
      ended = {}
      signal()
    },
  })
  t.after(async () => {
    subscription.unsubscribe()
    await source.close()
  })
  return {
    changes,
    until: async found => {
      // A source keeps no process alive, so the test must.
      const alive = setInterval(() => undefined, 1000)
      try {
        while (!found(changes)) {
          if (ended !== undefined) throw ended.error ?? new Error('the source completed')
          await new Promise<void>(resolve => {
            wake = resolve
          })
        }
      } finally {
        clearInterval(alive)
      }
    },
  }
}

export type Recording = {
  readonly changes: readonly AdapterChange[]
  readonly until: (found: (changes: readonly AdapterChange[]) => boolean) => Promise<void>
}

/** The change in short: `added a`, `caught-up`. */
export function inShort(change: AdapterChange): string {
  if (change.type === 'caught-up') return change.type
  return `${change.type} ${change.type === 'added' ? change.adapter.id : change.id}`
}

const tells =
  (...wanted: readonly string[]) =>
  (changes: readonly AdapterChange[]): boolean =>
    wanted.every(short => changes.some(change => inShort(change) === short))

/** What every source of adapters promises. */
export function adapterSourceContract(name: string, make: (t: TestContext) => Promise<SourceUnderTest>): void {
  test(`${name}: tells what is there, whole, and then that it has caught up`, async t => {
    const { source, put } = await make(t)
    await put('one', 1, ['a question', 'another'])
    await put('two', 2)
    const { changes, until } = record(source, t)
    await until(tells('caught-up'))
    assert.deepEqual(changes.map(inShort).toSorted(), ['added one', 'added two', 'caught-up'])
    assert.equal(changes.at(-1)?.type, 'caught-up')
    const one = changes.find(change => change.type === 'added' && change.adapter.id === 'one')
    assert.ok(one?.type === 'added')
    assert.deepEqual(one.samples, ['a question', 'another'])
    assert.match(one.adapter.digest, /^sha256:[0-9a-f]{64}$/)
    assert.ok(one.adapter.directory.startsWith('/') && one.adapter.rank > 0)
    const two = changes.find(change => change.type === 'added' && change.adapter.id === 'two')
    assert.ok(two?.type === 'added' && two.samples.length === 0)
    assert.notEqual(two.adapter.digest, one.adapter.digest)
  })

  test(`${name}: an empty source catches up at once`, async t => {
    const { source } = await make(t)
    const { changes, until } = record(source, t)
    await until(tells('caught-up'))
    assert.deepEqual(changes, [{ type: 'caught-up' }])
  })

  test(`${name}: one bad adapter is refused with a coded reason, and the others are told`, async t => {
    const { source, put, putBroken } = await make(t)
    await putBroken('bad')
    await put('good')
    const { changes, until } = record(source, t)
    await until(tells('caught-up'))
    assert.deepEqual(changes.map(inShort).toSorted(), ['added good', 'caught-up', 'refused bad'])
    const refused = changes.find(change => change.type === 'refused')
    assert.equal(refused?.error.code, 'ADAPTER_INVALID')
    assert.match(refused?.error.message ?? '', /bad/)
  })

  test(`${name}: what is added and removed later is told`, async t => {
    const { source, put, remove } = await make(t)
    await put('one')
    const { changes, until } = record(source, t)
    await until(tells('caught-up'))
    await put('two')
    await until(tells('added two'))
    await remove('one')
    await until(tells('removed one'))
    assert.deepEqual(changes.map(inShort), ['added one', 'caught-up', 'added two', 'removed one'])
  })

  test(`${name}: a changed adapter is removed and added under its new digest`, async t => {
    const { source, put } = await make(t)
    await put('one', 1)
    const { changes, until } = record(source, t)
    await until(tells('caught-up'))
    await put('one', 2)
    await until(list => list.filter(change => inShort(change) === 'added one').length === 2)
    assert.deepEqual(changes.map(inShort), ['added one', 'caught-up', 'removed one', 'added one'])
    const digests = changes.map(change => (change.type === 'added' ? change.adapter.digest : undefined))
    assert.notEqual(digests[0], digests[3])
  })

  test(`${name}: changed samples are a changed adapter`, async t => {
    const { source, put } = await make(t)
    await put('one', 1, ['before'])
    const { changes, until } = record(source, t)
    await until(tells('caught-up'))
    await put('one', 1, ['after'])
    await until(tells('removed one'))
    await until(list => list.length === 4)
    const last = changes.at(-1)
    assert.ok(last?.type === 'added')
    assert.deepEqual(last.samples, ['after'])
  })

  test(`${name}: an adapter that turns bad is removed and refused, and admitted when it is good again`, async t => {
    const { source, put, putBroken } = await make(t)
    await put('one')
    const { changes, until } = record(source, t)
    await until(tells('caught-up'))
    await putBroken('one')
    await until(tells('refused one'))
    await put('one', 3)
    await until(list => inShort(list.at(-1) ?? { type: 'caught-up' }) === 'added one')
    assert.deepEqual(changes.map(inShort), ['added one', 'caught-up', 'removed one', 'refused one', 'added one'])
  })

  test(`${name}: nothing is told after close`, async t => {
    const { source, put } = await make(t)
    const { changes, until } = record(source, t)
    await until(tells('caught-up'))
    await source.close()
    await put('late')
    const late = record(source, t)
    await assert.rejects(
      late.until(() => false),
      /completed/,
    )
    assert.deepEqual(changes.map(inShort), ['caught-up'])
    assert.deepEqual(late.changes, [])
  })
}
