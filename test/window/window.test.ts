import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { firstValueFrom, from, map, toArray } from 'rxjs'
import { TestScheduler } from 'rxjs/testing'
import { ConfigError } from '../../src/errors.ts'
import type { Message, Placed, Prompt, Window } from '../../src/events.ts'
import { window, type WindowOptions } from '../../src/window/window.ts'
import { message } from '../support/fakes.ts'

const events = Object.fromEntries(
  ['a', 'b', 'c', 'd', 'e', 'f'].map((text, offset) => [text, message({ text }, offset)]),
)

/** `abc SIZE`: what a window holds and why it closed. */
function show({ items, closedBy }: Window<Placed>): string {
  return `${items.map(({ value }) => value.text).join('')} ${closedBy}`
}

/** Marbles are virtual milliseconds; no clock runs. */
function marbles(
  options: WindowOptions<Prompt>,
  source: string,
  expected: string,
  windows: Record<string, string>,
): void {
  new TestScheduler((actual, wanted) => assert.deepEqual(actual, wanted)).run(({ cold, expectObservable }) => {
    expectObservable(cold(source, events).pipe(window(options), map(show))).toBe(expected, windows)
  })
}

test('window: closes when it is full', () => {
  marbles({ size: 2, ms: 100 }, '-a-b-c-d-|', '---x---y-|', { x: 'ab SIZE', y: 'cd SIZE' })
})

test('window: closes ms after its first event, not after its last', () => {
  marbles({ size: 9, ms: 5 }, 'a--b----c--------|', '-----x-------y---|', { x: 'ab TIME', y: 'c TIME' })
})

test('window: a window that closed full does not close again when its time comes', () => {
  marbles({ size: 2, ms: 5 }, 'a-b-c------|', '--x------y-|', { x: 'ab SIZE', y: 'c TIME' })
})

test('window: at the end, the remainder', () => {
  marbles({ size: 9, ms: 100 }, '-a-b-|', '-----(x|)', { x: 'ab END' })
  marbles({ size: 2, ms: 100 }, '-a-b-|', '---x-|', { x: 'ab SIZE' })
})

test('window: an error drops what is open, for it will be read again', () => {
  marbles({ size: 9, ms: 100 }, '-a-#', '---#', {})
})

test('window: unsubscribing stops the clock', () => {
  new TestScheduler((actual, wanted) => assert.deepEqual(actual, wanted)).run(
    ({ hot, expectObservable, expectSubscriptions }) => {
      const source = hot('-a-------', events)
      expectObservable(source.pipe(window({ size: 9, ms: 5 }), map(show)), '^--!').toBe('----')
      expectSubscriptions(source.subscriptions).toBe('^--!')
    },
  )
})

const cost = ({ value }: Message<Prompt>): number => value.text.charCodeAt(0) - 96

test('window: an event that would overflow the tokens goes to the next window', () => {
  // a is 1 token, b 2, and so on.
  marbles({ size: 9, ms: 100, tokens: 4, cost }, 'a-b-c|', '----x(y|)', { x: 'ab TOKENS', y: 'c END' })
})

test('window: an event that fills the tokens closes its window at once', () => {
  marbles({ size: 9, ms: 100, tokens: 3, cost }, 'a-b-c-|', '--x-y-|', { x: 'ab TOKENS', y: 'c TOKENS' })
})

test('window: an event of more than all tokens has a window to itself', () => {
  // The two windows of (xy) take four places of the picture, but no time.
  marbles({ size: 9, ms: 100, tokens: 3, cost }, 'a-f---a-|', '--(xy)--(z|)', {
    x: 'a TOKENS',
    y: 'f TOKENS',
    z: 'a END',
  })
})

/** The size of the first window over two equal prompts. */
async function firstSize(value: Prompt, tokens: number): Promise<number> {
  const source = from([message(value), message(value, 1)])
  return (await firstValueFrom(source.pipe(window({ size: 9, ms: 100, tokens })))).size
}

test('window: by default an event costs its new tokens and a quarter of its bytes', async () => {
  const value = { text: 'x'.repeat(40), system: 'é'.repeat(10), maxTokens: 5 }
  assert.equal(await firstSize(value, 40), 2)
  assert.equal(await firstSize(value, 39), 1)
  assert.equal(await firstSize({ text: '', tokens: [1, 2], maxTokens: 1 }, 6), 2)
  assert.equal(await firstSize({ text: '' }, 255), 1)
})

test('window: rows are numbered, sizes told, and ids are unique and say where a window began', async () => {
  const source = [0, 1, 2].map(offset => message({ text: 'x' }, offset, 3))
  const windows = await firstValueFrom(from(source).pipe(window({ size: 2, ms: 100, tag: 'me' }), toArray()))
  assert.deepEqual(
    windows.map(({ id, size, items }) => [id, size, items.map(({ row }) => row)]),
    [
      ['prompts-3-0.me', 2, [0, 1]],
      ['prompts-3-2.me', 1, [0]],
    ],
  )
  const [one, other] = [window({ size: 1, ms: 1 }), window({ size: 1, ms: 1 })].map(operator =>
    firstValueFrom(from(source).pipe(operator)),
  )
  assert.notEqual((await one)?.id, (await other)?.id)
})

function price(event: Message<Prompt>): number {
  return Number(event.value.text)
}

test('window: every event is in one window, in order, and no bound is passed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(50), { maxLength: 60 }),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 60 }),
      async (costs, size, tokens) => {
        const source = costs.map((one, offset) => message({ text: String(one) }, offset))
        const windows = await firstValueFrom(
          from(source).pipe(window({ size, ms: 1000, tokens, cost: price }), toArray()),
        )
        assert.deepEqual(
          windows.flatMap(({ items }) => items.map(({ origin }) => Number(origin.offset))),
          costs.map((_, offset) => offset),
        )
        for (const { items, size: told } of windows) {
          assert.equal(told, items.length)
          assert.ok(items.length >= 1 && items.length <= size)
          assert.ok(items.length === 1 || items.reduce((sum, item) => sum + price(item), 0) <= tokens)
        }
      },
    ),
  )
})

test('window: options out of range are refused by name, and so is a cost that is no number', async () => {
  for (const size of [0, -1, 1.5, Number.NaN, 5000])
    assert.throws(() => window({ size, ms: 1 }), /size is .*expected an integer/)
  for (const ms of [-1, Number.NaN, 2 ** 31]) assert.throws(() => window({ size: 1, ms }), /ms is /)
  for (const tokens of [0, -1, Number.NaN]) assert.throws(() => window({ size: 1, ms: 1, tokens }), ConfigError)
  const windows = from([message({ text: 'x' })]).pipe(window({ size: 1, ms: 1, cost: () => Number.NaN }))
  await assert.rejects(firstValueFrom(windows), ConfigError)
})
