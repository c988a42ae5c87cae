import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { from, lastValueFrom, toArray } from 'rxjs'
import { AdapterError, GoneError, type ErrorData } from '../src/errors.ts'
import type { Message, Prompt, Window } from '../src/events.ts'
import { stage } from '../src/stage.ts'
import { message } from './support/fakes.ts'

type In = Message<Prompt>
type Out = In & { readonly done: string }
type Work = (items: readonly In[]) => Promise<readonly (Out | ErrorData)[]>

function windowOf(texts: readonly string[], id = 'w'): Window<In> {
  const items = texts.map((text, offset) => message({ text }, offset))
  return { id, closedBy: 'SIZE', size: items.length, items, failed: [], ms: { window: 1 } }
}

async function through(work: Work, ...windows: readonly Window<In>[]): Promise<readonly Window<Out>[]> {
  return await lastValueFrom(from(windows).pipe(stage<In, Out>('infer', work), toArray()))
}

async function one(work: Work, window: Window<In>): Promise<Window<Out>> {
  const [result] = await through(work, window)
  assert.ok(result)
  return result
}

const finish = (item: In): Out => ({ ...item, done: item.value.text.toUpperCase() })

function textOf({ value }: Message<unknown>): string {
  assert.ok(typeof value === 'object' && value !== null && 'text' in value && typeof value.text === 'string')
  return value.text
}

/** What became of each item, by its text: the answer, or the code and the reason. */
function fates({ items, failed }: Window<Out>): Readonly<Record<string, string>> {
  const found = new Map(items.map(item => [textOf(item), item.done]))
  for (const { message: lost, code, reason } of failed) found.set(textOf(lost), `${code} ${reason}`)
  return Object.fromEntries<string>(found)
}

test('stage: every item goes a step further, the window keeps what it had and tells its time', async () => {
  const before = windowOf(['a', 'b'])
  const lost = {
    message: message({ text: 'lost' }),
    stage: 'retrieve',
    code: 'STAGE_FAILED',
    reason: 'earlier',
  } as const
  const after = await one(async items => items.map(finish), { ...before, size: 3, failed: [lost] })
  assert.deepEqual(fates(after), { a: 'A', b: 'B', lost: 'STAGE_FAILED earlier' })
  assert.deepEqual([after.id, after.closedBy, after.size, after.ms.window], ['w', 'SIZE', 3, 1])
  assert.ok((after.ms.infer ?? -1) >= 0)
  assert.equal(after.failed[0], lost)
})

test('stage: an item that is answered with an error fails alone, with its code and the name of the stage', async () => {
  const after = await one(
    async items =>
      items.map(item => (item.value.text === 'b' ? { code: 'ADAPTER_UNKNOWN', message: 'no b' } : finish(item))),
    windowOf(['a', 'b', 'c']),
  )
  assert.deepEqual(fates(after), { a: 'A', b: 'ADAPTER_UNKNOWN no b', c: 'C' })
  assert.equal(after.failed[0]?.stage, 'infer')
})

test('stage: work that throws is tried in halves until the events that cannot be worked on stand alone', async () => {
  const calls: number[] = []
  const after = await one(
    async items => {
      calls.push(items.length)
      const bad = items.find(({ value }) => value.text.startsWith('bad'))
      if (bad !== undefined) throw new AdapterError(`cannot do ${bad.value.text}`)
      return items.map(finish)
    },
    windowOf(['a', 'b', 'c', 'd', 'e', 'bad', 'g', 'h']),
  )
  assert.deepEqual(fates(after), {
    ...Object.fromEntries('abcdegh'.split('').map(text => [text, text.toUpperCase()])),
    bad: 'ADAPTER_INVALID cannot do bad',
  })
  assert.deepEqual(
    after.items.map(({ value }) => value.text),
    'abcdegh'.split(''),
  )
  assert.deepEqual(calls, [8, 4, 4, 2, 1, 1, 2])
})

/** What work may do to an item's window. */
const behaviours: Readonly<Record<string, (items: readonly In[]) => readonly (Out | ErrorData)[]>> = {
  throws: () => {
    throw new Error('no')
  },
  'answers nothing': () => [],
  'answers one less': items => items.slice(1).map(finish),
  'answers one more': items => [...items, ...items.slice(0, 1)].map(finish),
}

for (const [what, behave] of Object.entries(behaviours)) {
  test(`stage: where a window with a bad item ${what}, no event is lost or answered twice, and only bad ones fail`, async () => {
    const texts = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(texts, fc.func(fc.boolean()), async (all, isBad) => {
        const bad = new Set(all.filter(text => isBad(text)))
        const after = await one(
          async items => (items.some(({ value }) => bad.has(value.text)) ? behave(items) : items.map(finish)),
          windowOf(all),
        )
        assert.equal(after.items.length + after.failed.length, all.length)
        assert.deepEqual(
          after.items.map(({ value, done }) => [value.text, done]),
          all.filter(text => !bad.has(text)).map(text => [text, text.toUpperCase()]),
        )
        assert.deepEqual(new Set(after.failed.map(({ message: lost }) => textOf(lost))), bad)
        assert.ok(after.failed.every(({ code, reason }) => code === 'STAGE_FAILED' && reason !== ''))
      }),
    )
  })
}

test('stage: the reason of a miscount says how many there were', async () => {
  const after = await one(async items => items.slice(1).map(finish), windowOf(['a']))
  assert.deepEqual(fates(after), { a: 'STAGE_FAILED stage infer: 0 results of 1 items' })
})

test('stage: windows are worked on one at a time and in order, also after one that fails whole', async () => {
  let open = 0
  const seen: string[] = []
  const windows = await through(
    async items => {
      open += 1
      assert.equal(open, 1)
      const [first] = items
      // The later window would overtake, if it could.
      await new Promise(resolve => setTimeout(resolve, first?.value.text === 'slow' ? 20 : 0))
      open -= 1
      seen.push(first?.value.text ?? '')
      if (first?.value.text === 'broken') throw new Error('no')
      return items.map(finish)
    },
    windowOf(['slow'], '1'),
    windowOf(['broken'], '2'),
    windowOf(['quick'], '3'),
  )
  assert.deepEqual(seen, ['slow', 'broken', 'quick'])
  assert.deepEqual(
    windows.map(({ id, items, failed }) => [id, items.length, failed.length]),
    [
      ['1', 1, 0],
      ['2', 0, 1],
      ['3', 1, 0],
    ],
  )
})

test('stage: a window whose events have all failed goes through without work', async () => {
  const after = await one(() => Promise.reject(new Error('nothing to do')), windowOf([]))
  assert.deepEqual(fates(after), {})
})

test('stage: what it works with being gone ends the stream at once, and no event is failed for it', async () => {
  let calls = 0
  const work: Work = async () => {
    calls++
    throw new GoneError('the thread has ended')
  }
  await assert.rejects(through(work, windowOf(['a', 'b', 'c']), windowOf(['d'])), GoneError)
  assert.equal(calls, 1)
})
