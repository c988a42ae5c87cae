import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bertNormalizer } from '../../src/hf/bert-normalizer.ts'

const bert = {
  type: 'BertNormalizer',
  clean_text: true,
  handle_chinese_chars: true,
  strip_accents: null,
  lowercase: true,
}

test('characters go to lower case one by one, so that a sigma is the same anywhere in a word', () => {
  assert.equal(bertNormalizer(bert)?.('ΑΣ ΣΑ İ ǅ'), 'ας σα i ǆ'.replace('ς', 'σ'))
})

test('ideographs beyond 16 bits are words of their own', () => {
  assert.equal(bertNormalizer(bert)?.('a𠀀b中c㐀'), 'a 𠀀 b 中 c 㐀 ')
  assert.equal(bertNormalizer({ ...bert, handle_chinese_chars: false })?.('a中b'), 'a中b')
})

test('control characters go, white space becomes blanks', () => {
  assert.equal(bertNormalizer(bert)?.('a\u0000b\u200b\ufffdc\t\r\nd\u00a0\u3000e\u0085'), 'abc   d  e')
  assert.equal(bertNormalizer({ ...bert, clean_text: false })?.('a\u0007\tb'), 'a\u0007\tb')
})

test('accents go with the case, unless the file says otherwise', () => {
  const seen = (change: object): string | undefined => bertNormalizer({ ...bert, ...change })?.('É')
  assert.equal(seen({}), 'e')
  assert.equal(seen({ strip_accents: false }), 'é')
  assert.equal(seen({ lowercase: false }), 'É')
  assert.equal(seen({ lowercase: false, strip_accents: true }), 'E')
})

test('other normalisers are left to the library', () => {
  for (const other of [undefined, null, 'BertNormalizer', { type: 'NFC' }])
    assert.equal(bertNormalizer(other), undefined)
})
