import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { cutAtStop, MAX_STATES, stopAutomata, STOPPED, tokensToStop, type Stopping } from '../../src/infer/stopping.ts'

const EOS = 0
/** A special token: no text. */
const SILENT = 1

/** A vocabulary: the end token, a special one, then tokens of these bytes. */
type Vocabulary = readonly (Uint8Array | null)[]

const vocabularyOf = (tokens: readonly Uint8Array[]): Vocabulary => [null, null, ...tokens]

/** The number of tokens after which a row stops, by its automaton; null when it does not. */
function stopsAfter(rows: readonly Stopping[], vocabulary: Vocabulary, row: number, tokens: readonly number[]) {
  const { table, states, start } = stopAutomata(rows, vocabulary.length, [EOS], token => vocabulary[token] ?? null)
  assert.equal(table.length, states * vocabulary.length)
  let state = start[row] ?? NaN
  assert.ok(state > STOPPED && state < states)
  for (const [index, token] of tokens.entries()) {
    state = table[state * vocabulary.length + token] ?? NaN
    assert.ok(state >= STOPPED && state < states)
    if (state !== STOPPED) continue
    // Nothing leaves this state.
    for (let other = 0; other < vocabulary.length; other++) assert.equal(table[other], STOPPED)
    return index + 1
  }
  return null
}

/** The same by searching the whole text again after every token. */
function searched({ stop, ignoreEos }: Stopping, vocabulary: Vocabulary, tokens: readonly number[]): number | null {
  let text = Buffer.alloc(0)
  for (const [index, token] of tokens.entries()) {
    if (token === EOS && !ignoreEos) return index + 1
    text = Buffer.concat([text, vocabulary[token] ?? Buffer.alloc(0)])
    if (stop.some(one => one !== '' && text.includes(one))) return index + 1
  }
  return null
}

/** Few letters, so that strings overlap; of one, two, three and four bytes in UTF-8. */
const letters = ['a', 'b', 'é', '€', '🙂', '\n']
const word = fc.array(fc.constantFrom(...letters), { minLength: 1, maxLength: 5 }).map(all => all.join(''))
const bytesOfWords = [...new TextEncoder().encode(letters.join(''))]

/** Tokens that are pieces of such words, cut anywhere, in the middle of a character too. */
const token = fc.oneof(
  fc.array(fc.constantFrom(...bytesOfWords), { minLength: 1, maxLength: 3 }).map(bytes => Uint8Array.from(bytes)),
  fc
    .tuple(word, fc.nat(8), fc.nat(8))
    .map(([text, from, length]) => new TextEncoder().encode(text).subarray(from, from + 1 + length)),
)

const stopping: fc.Arbitrary<Stopping> = fc.record({
  stop: fc.array(fc.oneof({ weight: 9, arbitrary: word }, { weight: 1, arbitrary: fc.constant('') }), { maxLength: 4 }),
  ignoreEos: fc.boolean(),
})

const cases = fc
  .record({ rows: fc.array(stopping, { minLength: 1, maxLength: 4 }), tokens: fc.array(token, { maxLength: 12 }) })
  .chain(({ rows, tokens }) =>
    fc.record({
      rows: fc.constant(rows),
      vocabulary: fc.constant(vocabularyOf(tokens)),
      text: fc.array(fc.nat(tokens.length + 1), { maxLength: 30 }),
    }),
  )

test('stopping: a row stops with the token that completes one of its strings, or with the end token, and not before', () => {
  fc.assert(
    fc.property(cases, ({ rows, vocabulary, text }) => {
      for (const [row, own] of rows.entries())
        assert.equal(stopsAfter(rows, vocabulary, row, text), searched(own, vocabulary, text))
    }),
    { numRuns: 1000 },
  )
})

const bytes = (...texts: readonly string[]): Vocabulary =>
  vocabularyOf(texts.map(text => new TextEncoder().encode(text)))

test('stopping: a string that begins again within itself is found', () => {
  const row: Stopping = { stop: ['abab€', 'bb'], ignoreEos: false }
  const vocabulary = bytes('a', 'b', '€')
  assert.equal(stopsAfter([row], vocabulary, 0, [2, 3, 2, 3, 2, 3, 4]), 7)
  assert.equal(stopsAfter([row], vocabulary, 0, [2, 3, 3]), 3)
  assert.equal(stopsAfter([row], vocabulary, 0, [2, 3, 2, 4, 3]), null)
})

test('stopping: a character split over tokens, and a special token between them, do not hide a string', () => {
  const [one = 0, two = 0, three = 0] = new TextEncoder().encode('€')
  const vocabulary = vocabularyOf([Uint8Array.of(one), Uint8Array.of(two), Uint8Array.of(three)])
  const row: Stopping = { stop: ['€€'], ignoreEos: true }
  assert.equal(stopsAfter([row], vocabulary, 0, [2, 3, 4, SILENT, 2, 3, 4]), 7)
  assert.equal(stopsAfter([row], vocabulary, 0, [2, 3, 4, 2, 3, 3, 4]), null)
})

test('stopping: a string in the middle of a token stops it, and what the token says after it does not matter', () => {
  const row: Stopping = { stop: ['END'], ignoreEos: false }
  assert.equal(stopsAfter([row], bytes('the E', 'ND of it'), 0, [2, 3]), 2)
})

test('stopping: end tokens are of the row', () => {
  const rows: readonly Stopping[] = [
    { stop: [], ignoreEos: false },
    { stop: [], ignoreEos: true },
  ]
  assert.equal(stopsAfter(rows, bytes('a'), 0, [2, EOS, 2]), 2)
  assert.equal(stopsAfter(rows, bytes('a'), 1, [2, EOS, 2]), null)
})

test('stopping: rows that stop alike share their states, in whatever order their strings are', () => {
  const { start, states } = stopAutomata(
    [
      { stop: ['one', 'two'], ignoreEos: false },
      { stop: ['two', 'one'], ignoreEos: false },
      { stop: ['two', 'one'], ignoreEos: true },
    ],
    3,
    [EOS],
    () => null,
  )
  assert.equal(start[0], start[1])
  assert.notEqual(start[0], start[2])
  assert.equal(states, 1 + 7 + 7)
})

test('stopping: beyond the limit of states a row goes on to its end token, and takes no place from others', () => {
  const long = Array.from({ length: 8 }, (_, index) => String(index).repeat(128))
  const rows: readonly Stopping[] = [
    { stop: ['ab'], ignoreEos: false },
    { stop: long, ignoreEos: false },
    { stop: ['ba'], ignoreEos: false },
  ]
  const vocabulary = bytes('a', 'b', '0'.repeat(128))
  const { states } = stopAutomata(rows, vocabulary.length, [EOS], one => vocabulary[one] ?? null)
  assert.ok(states <= MAX_STATES)
  assert.equal(stopsAfter(rows, vocabulary, 0, [2, 3]), 2)
  assert.equal(stopsAfter(rows, vocabulary, 1, [2, 4, 4, EOS]), 4)
  assert.equal(stopsAfter(rows, vocabulary, 2, [3, 2]), 2)
})

test('tokensToStop: as many tokens as a row has that stopped by itself, end tokens aside', () => {
  fc.assert(
    fc.property(cases, ({ rows, vocabulary, text }) => {
      for (const { stop } of rows) {
        const wanted = searched({ stop, ignoreEos: true }, vocabulary, text) ?? text.length
        assert.equal(
          tokensToStop(text, stop, id => vocabulary[id] ?? null),
          wanted,
        )
      }
    }),
    { numRuns: 500 },
  )
})

test('cutAtStop: the text before the first string in it, wherever that stands in the list', () => {
  fc.assert(
    fc.property(fc.array(word, { maxLength: 8 }), stopping, (words, { stop }) => {
      const text = words.join('')
      const first = Array.from({ length: text.length }, (_, place) => place).find(place =>
        stop.some(one => one !== '' && text.startsWith(one, place)),
      )
      assert.equal(cutAtStop(text, stop), first === undefined ? null : text.slice(0, first))
    }),
  )
  assert.equal(cutAtStop('one two three', ['three', 'two']), 'one ')
  assert.equal(cutAtStop('one', ['']), null)
})
