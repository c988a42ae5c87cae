import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ggufTokenizer } from '../../src/hf/gguf-tokenizer.ts'
import { readGguf } from '../../src/hf/gguf.ts'
import { readTokenizerFiles, type TokenizerFiles } from '../../src/hf/tokenizer-files.ts'
import { openTokenizer, type Tokenizer } from '../../src/hf/tokenizer.ts'

const fixtures = join(import.meta.dirname, '../fixtures')
const demo = join(import.meta.dirname, '../../models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf')

type Reference = readonly { readonly text: string; readonly ids: readonly number[]; readonly decoded: string }[]

async function reference(path: string): Promise<Reference> {
  const rows: unknown = JSON.parse(await readFile(join(fixtures, 'tokenizers', path), 'utf8'))
  assert.ok(Array.isArray(rows) && rows.length > 200)
  // make.py writes nothing else.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return rows as Reference
}

async function open(name: string): Promise<Tokenizer> {
  return openTokenizer(await readTokenizerFiles(join(fixtures, name)))
}

function agree(tokenizer: Tokenizer, rows: Reference, fallback = false): void {
  for (const { text, ids, decoded } of rows) {
    assert.deepEqual(tokenizer.encode(text, { special: true }), ids, JSON.stringify(text))
    // The library's fallback to bytes drops byte order marks.
    const seen = (whole: string) => (fallback ? whole.replaceAll('\ufeff', '') : whole)
    assert.equal(seen(tokenizer.decode(ids)), seen(decoded), JSON.stringify(text))
  }
}

for (const name of ['smollm', 'llama3', 'qwen2', 'metaspace', 'wordpiece']) {
  test(`${name}: ids and texts equal those of the reference implementation`, async () => {
    agree(await open(`tokenizers/${name}`), await reference(`${name}/reference.json`), name === 'metaspace')
  })
}

test(
  "the demo model's own vocabulary gives the reference's ids",
  { skip: !existsSync(demo) && 'the demo model is not fetched' },
  async () => {
    agree(openTokenizer(ggufTokenizer(await readGguf(demo))), await reference('smollm2.json'))
  },
)

test('without special, names of special tokens are plain text and nothing stands around it', async () => {
  const tokenizer = await open('tokenizers/llama3')
  const [begin = -1] = tokenizer.encode('', { special: true })
  const end = tokenizer.encode('<|im_end|>', { special: true })[1] ?? -1
  assert.equal(tokenizer.tokenBytes(begin), null)
  const text = 'a<|im_end|> b <mask>'
  const ids = tokenizer.encode(text, { special: false })
  assert.ok(!ids.includes(begin) && !ids.includes(end))
  assert.equal(tokenizer.decode(ids), text)
  const tool = tokenizer.encode('<tool>', { special: false })
  assert.equal(tool.length, 1, 'an added token that is not special stands for its text')
})

test('a word that is the name of a special token stays text where whole words count before merges', async () => {
  const files = await readTokenizerFiles(join(fixtures, 'tokenizers/llama3'))
  const json = {
    ...files.json,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
    model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: [], ignore_merges: true },
    added_tokens: [{ id: 2, content: 'ab', special: true }],
    post_processor: null,
  }
  const tokenizer = openTokenizer({ ...files, json })
  assert.deepEqual(tokenizer.encode('ab', { special: false }), [0, 1])
  assert.deepEqual(tokenizer.encode('ab', { special: true }), [2])
})

test('parts are tokenised as one text, but special tokens are seen only where they may be', async () => {
  const tokenizer = await open('tokenizers/smollm')
  const whole = '<|im_start|>user\n  Hello World!\n<|im_end|>\n'
  const parts = [
    { text: '<|im_start|>user\n', special: true },
    { text: '  Hello', special: false },
    { text: ' World!\n', special: false },
    { text: '<|im_end|>\n', special: true },
  ]
  assert.deepEqual(tokenizer.encodeParts(parts), tokenizer.encode(whole, { special: true }))
  const ends = (ids: readonly number[]) => ids.filter(id => tokenizer.tokenBytes(id) === null).length
  assert.equal(ends(tokenizer.encodeParts(parts)), 2)
  assert.equal(ends(tokenizer.encodeParts([...parts, { text: '<|im_end|>', special: false }])), 2)
  assert.equal(
    ends(
      tokenizer.encodeParts([
        { text: '<|im_', special: true },
        { text: 'end|>', special: false },
      ]),
    ),
    0,
  )
})

test('a special token that swallows white space does so across parts', async () => {
  const tokenizer = await open('tokenizers/smollm')
  const parts = [
    { text: 'a  ', special: false },
    { text: '<mask>', special: true },
    { text: '  b', special: false },
  ]
  assert.deepEqual(tokenizer.encodeParts(parts), tokenizer.encode('a  <mask>  b', { special: true }))
  assert.equal(tokenizer.decode(tokenizer.encodeParts(parts)), 'ab')
})

test('the bytes of all tokens together are the text', async () => {
  const tokenizer = await open('tokenizers/qwen2')
  const text = 'Grüße, 日本! 😀 <tool>'
  const ids = tokenizer.encode(text, { special: false })
  assert.equal(Buffer.concat(ids.map(id => tokenizer.tokenBytes(id) ?? Buffer.alloc(0))).toString(), text)
  assert.equal(tokenizer.tokenBytes(tokenizer.vocabSize), null)
  assert.equal((await open('tokenizers/wordpiece')).tokenBytes(30), null)
})

test('maxTokenBytes is that of the longest token, more where a normaliser shortens, and unbounded for whole words', async () => {
  const smollm = await open('tokenizers/smollm')
  let longest = 0
  for (let id = 0; id < smollm.vocabSize; id++) longest = Math.max(longest, smollm.tokenBytes(id)?.length ?? 0)
  assert.ok(longest >= 6)
  // The name of its longest special token is longer.
  assert.equal(smollm.maxTokenBytes, Math.max(longest, '<|im_start|>'.length))
  assert.equal((await open('tokenizers/qwen2')).maxTokenBytes % 4, 0)
  assert.equal((await open('tokenizers/wordpiece')).maxTokenBytes, Infinity)
})

test('ids that no token has decode to nothing, and half a character to U+FFFD', async () => {
  const tokenizer = await open('golden/tiny-llama')
  assert.equal(tokenizer.vocabSize, 259)
  assert.equal(tokenizer.decode([1, 263, 4_000_000, -1, 2]), '')
  assert.equal(tokenizer.decode([]), '')
  const [first = 0] = tokenizer.encode('é', { special: false })
  assert.equal(tokenizer.decode([first]), '\ufffd')
})

test('any string is taken: lone surrogates become U+FFFD, NUL and the rest come back as they were', async () => {
  const tokenizer = await open('golden/tiny-llama')
  for (const text of ['', '\0', 'a\ud800b', '\udc00', '\ufeffx', '\u0085']) {
    assert.equal(tokenizer.decode(tokenizer.encode(text, { special: false })), text.replaceAll(/\p{Cs}/gu, '\ufffd'))
  }
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 50 }), text => {
      assert.equal(tokenizer.decode(tokenizer.encode(text, { special: false })), text)
    }),
  )
})

test('words of 200,000 symbols are tokenised without trouble', async () => {
  const tokenizer = await open('tokenizers/llama3')
  for (const unit of ['a', 'ab', ' ', '!', '\n ', 'é', '\0', 'sentence']) {
    const text = unit.repeat(Math.ceil(200_000 / unit.length))
    const ids = tokenizer.encode(text, { special: false })
    assert.ok(ids.length * tokenizer.maxTokenBytes >= Buffer.byteLength(text))
  }
})

const sound: TokenizerFiles = {
  source: 't.json',
  json: {
    added_tokens: [],
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false },
    model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'] },
  },
  bosToken: null,
  eosToken: null,
  chatTemplate: null,
}

const damaged: [json: Record<string, unknown>, message: RegExp][] = [
  [{ model: null }, /t\.json: model is null, expected an object/],
  [{ model: { type: 'Unigram', vocab: [] } }, /t\.json: model\.type is Unigram, expected BPE or WordPiece/],
  [{ model: { type: 'WordPiece', vocab: null } }, /t\.json: no tokenizer can be made of it/],
  [{ pre_tokenizer: { type: 'Magic' } }, /t\.json: no tokenizer can be made of it/],
  [{ added_tokens: 'x' }, /added_tokens is no list/],
  [{ added_tokens: [null] }, /added_tokens\[0\] is null/],
  [{ added_tokens: [{ id: -1, content: 'x' }] }, /added_tokens\[0\]: id is -1/],
  [{ added_tokens: [{ id: 1, content: '' }] }, /content is , expected a text/],
  [{ added_tokens: [{ id: 1, content: 'x', single_word: true }] }, /"x" is a single_word token/],
  [{ model: { type: 'BPE', vocab: { a: 'x' }, merges: [] } }, /the id of token "a" is x/],
  [{ model: { type: 'BPE', vocab: { a: 1e9 }, merges: [] } }, /the id of token "a" is 1000000000/],
  [{ model: { type: 'BPE', vocab: [], merges: [] } }, /model\.vocab is \[\]/],
  [{ model: { type: 'BPE', vocab: { a: 0 }, merges: 7 } }, /model\.merges is 7/],
  [{ model: { type: 'BPE', vocab: { a: 0 }, merges: ['a b'] } }, /model\.merges\[0\] is a b, expected two tokens/],
  [{ model: { type: 'BPE', vocab: { a: 0 }, merges: [['a']] } }, /model\.merges\[0\] is \[a\]/],
  [{ model: { type: 'BPE', vocab: {}, merges: [], dropout: 0.1 } }, /model\.dropout is 0\.1, expected none/],
  [
    { post_processor: { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<s>' } }] } },
    /t\.json: post_processor puts/,
  ],
]
for (const [json, message] of damaged) {
  test(`refused: ${JSON.stringify(json)}`, () => {
    assert.throws(() => openTokenizer({ ...sound, json: { ...sound.json, ...json } }), { code: /^MODEL_/, message })
  })
}

test('what is refused above is refused for its flaw alone', () => {
  assert.deepEqual(openTokenizer(sound).encode('abba', { special: true }), [2, 1, 0])
})
