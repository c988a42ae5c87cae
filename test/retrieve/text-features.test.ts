import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { textFeatures, type Counts } from '../../src/retrieve/text-features.ts'

/** Words as one expression finds them; the module looks for the next place by place, without strings of their own. */
const WORDS = /\n|[\p{L}\p{M}\p{N}_]+|[^\s\p{L}\p{M}\p{N}_]/gu
const LETTERS = [
  'Ab',
  'x',
  '12',
  '²',
  '٣',
  '_',
  'İ',
  'ß',
  'é',
  'e\u0301',
  '\u0301',
  '漢',
  '字',
  'กา',
  'שלום',
  'Ж',
  '😀',
  '\ud83d',
]
const BETWEEN = ['.', '?', "'", '—', ' ', '  ', '\t', '\n', '\r\n', '\u00a0', '\u2028', '\u3000', '\ufeff', '\0']
const TEXT = fc.oneof(
  fc.array(fc.constantFrom(...LETTERS, ...BETWEEN), { maxLength: 90 }).map(pieces => pieces.join('')),
  fc.string({ unit: 'binary', maxLength: 90 }),
)

const total = ({ times, size }: Counts): number => times.subarray(0, size).reduce((sum, count) => sum + count, 0)

test('every word of a text is counted alone and with the one before it, the ends of the text among them', () => {
  fc.assert(
    fc.property(TEXT, text => {
      const { words } = textFeatures(text)
      // The beginning stands alone; each word, and the end, has a pair besides.
      assert.equal(total(words), 1 + 2 * (wordsOf(text).length + 1))
      assert.deepEqual(words, textFeatures(wordsOf(text).join(' ')).words)
    }),
  )
})

test('of a text of many words those at its two ends are counted', () => {
  const many = Array.from({ length: 300 }, (_, at) => `w${String.fromCharCode(97 + (at % 26), 97 + (at % 25))}`)
  const ends = [...many.slice(0, 48), ...many.slice(-48)]
  assert.deepEqual(textFeatures(many.join(' ')).words, textFeatures(ends.join(' ')).words)
  const far = [...many.slice(0, 48), ...Array.from({ length: 5000 }, () => 'between'), ...many.slice(-48)]
  assert.deepEqual(textFeatures(far.join(' ')).words, textFeatures(ends.join(' ')).words)
})

test('features that were read are not changed by the next text', () => {
  const first = textFeatures('how many apples are left?')
  const before = structuredClone(first)
  textFeatures('what colour is the sky above the port')
  assert.deepEqual(first, before)
})

function wordsOf(text: string): readonly string[] {
  return text.toLowerCase().match(WORDS) ?? []
}
