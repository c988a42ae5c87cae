import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { ggufConfig, ggufTensors } from '../../src/hf/gguf-model.ts'
import { ggufTokenizer } from '../../src/hf/gguf-tokenizer.ts'
import { parseGguf, type GgufFile } from '../../src/hf/gguf.ts'
import { openModel } from '../../src/hf/model.ts'
import { openTokenizer } from '../../src/hf/tokenizer.ts'
import { ggufBytes, type Tensor, type Value } from './gguf-writer.ts'
import { tinyLlamaKeys, tinyLlamaTensors } from './model-files.ts'

const source = await openModel(join(import.meta.dirname, '../fixtures/golden/tiny-llama'))
const keys = tinyLlamaKeys(source)
const tensors = await tinyLlamaTensors(source)

/** The tiny model's file with some keys changed (or, as `null`, left out), and with these tensors. */
function file(changes: Readonly<Record<string, Value | null>>, of: readonly Tensor[] = tensors): GgufFile {
  const changed: Record<string, Value> = {}
  for (const [key, value] of Object.entries({ ...keys, ...changes })) if (value !== null) changed[key] = value
  const bytes = ggufBytes(changed, of)
  const read = (offset: number, length: number) => bytes.subarray(offset, offset + length)
  return parseGguf('x.gguf', { size: bytes.length, read })
}

const vector = (name: string, size: number): Tensor => ({
  name,
  type: 0,
  shape: [size],
  data: new Uint8Array(4 * size),
})

test('biases and a separate head are there when their tensors are', () => {
  const biased = [...tensors, vector('blk.0.attn_q.bias', 64), vector('blk.0.ffn_gate.bias', 176)]
  const { qkvBias, outputBias, mlpBias, tied } = ggufConfig(file({}, biased))
  assert.deepEqual(
    { qkvBias, outputBias, mlpBias, tied },
    { qkvBias: true, outputBias: false, mlpBias: true, tied: false },
  )
  assert.equal(
    ggufConfig(
      file(
        {},
        tensors.filter(({ name }) => name !== 'output.weight'),
      ),
    ).tied,
    true,
  )
})

test('linear rope scaling is read under both of its names', () => {
  const scaling = (changes: Readonly<Record<string, Value>>) => ggufConfig(file(changes)).ropeScaling
  const linear = { type: 'linear', factor: 4 }
  assert.deepEqual(
    scaling({ 'llama.rope.scaling.type': { string: 'linear' }, 'llama.rope.scaling.factor': { f32: 4 } }),
    linear,
  )
  assert.deepEqual(scaling({ 'llama.rope.scale_linear': { f32: 4 } }), linear)
  assert.deepEqual(scaling({ 'llama.rope.scaling.type': { string: 'none' } }), { type: 'none' })
})

test('the token that ends a turn ends an answer too', () => {
  assert.deepEqual(ggufConfig(file({ 'tokenizer.ggml.eot_token_id': { u32: 7 } })).eosTokenIds, [2, 7])
})

test('rows are interleaved for q and k of the llama family alone', () => {
  const interleaved = (of: GgufFile) => [...ggufTensors(of)].flatMap(([name, t]) => (t.interleaved ? [name] : []))
  assert.deepEqual(interleaved(file({})).toSorted(), [
    'model.layers.0.self_attn.k_proj.weight',
    'model.layers.0.self_attn.q_proj.weight',
    'model.layers.1.self_attn.k_proj.weight',
    'model.layers.1.self_attn.q_proj.weight',
  ])
  assert.deepEqual(interleaved(file({ 'general.architecture': { string: 'qwen2' } })), [])
})

const u32 = (value: number): Value => ({ u32: value })

const refusedConfigs: [changes: Readonly<Record<string, Value | null>>, name: string, message: RegExp][] = [
  [{ 'general.architecture': { string: 'gemma2' } }, 'UnsupportedModelError', /general\.architecture is "gemma2"/],
  [{ 'llama.expert_count': u32(8) }, 'UnsupportedModelError', /llama\.expert_count is 8, expected none/],
  [{ 'llama.attention.sliding_window': u32(8) }, 'UnsupportedModelError', /llama\.attention\.sliding_window is 8/],
  [
    { 'llama.rope.dimension_count': u32(8) },
    'UnsupportedModelError',
    /dimension_count is 8, expected the head dimension, 16/,
  ],
  [{ 'llama.rope.scaling.type': { string: 'yarn' } }, 'UnsupportedModelError', /rope\.scaling\.type is "yarn"/],
  [{ 'llama.block_count': null }, 'ModelError', /x\.gguf: llama\.block_count is absent/],
  [{ 'llama.block_count': u32(5000) }, 'ModelError', /llama\.block_count is 5000, expected an integer from 1 to 1024/],
  [{ 'llama.embedding_length': { string: '64' } }, 'ModelError', /llama\.embedding_length is 64, expected an integer/],
  [{ 'llama.attention.head_count_kv': u32(3) }, 'ModelError', /4 attention heads cannot share 3/],
  [{ 'llama.attention.head_count': { i32s: [4, 4] } }, 'ModelError', /head_count is \[4, 4\]/],
  [{ 'llama.attention.layer_norm_rms_epsilon': null }, 'ModelError', /layer_norm_rms_epsilon is absent/],
  [{ 'tokenizer.ggml.eos_token_id': u32(999) }, 'ModelError', /eos_token_id is 999, expected an integer from 0 to 263/],
]
for (const [changes, name, message] of refusedConfigs) {
  test(`refused: ${JSON.stringify(changes)}`, () => {
    assert.throws(() => ggufConfig(file(changes)), { name, message })
  })
}

test('tensors that the family does not have are refused by name', () => {
  for (const name of [
    'blk.0.attn_rot_embd.weight',
    'blk.x.attn_q.weight',
    'constructor.weight',
    'attn_q.weight',
    'a',
  ]) {
    const message = `x.gguf: tensor "${name}" is none that this family has`
    assert.throws(() => ggufTensors(file({}, [vector(name, 8)])), { name: 'ModelError', message })
  }
  assert.throws(() => ggufConfig(file({}, [...tensors, vector('rope_freqs.weight', 8)])), {
    name: 'UnsupportedModelError',
    message: /tensor "rope_freqs\.weight"/,
  })
  assert.throws(() => ggufConfig(file({}, [])), /rows of "token_embd\.weight" is absent/)
})

const refusedTokenizers: [changes: Readonly<Record<string, Value | null>>, name: string, message: RegExp][] = [
  [
    { 'tokenizer.ggml.model': { string: 'llama' } },
    'UnsupportedModelError',
    /tokenizer\.ggml\.model is "llama", expected "gpt2"/,
  ],
  [
    { 'tokenizer.ggml.pre': { string: 'default' } },
    'UnsupportedModelError',
    /pre is "default", expected one of gpt-2 smollm llama-bpe/,
  ],
  [{ 'tokenizer.ggml.pre': null }, 'UnsupportedModelError', /tokenizer\.ggml\.pre is "absent"/],
  [{ 'tokenizer.ggml.tokens': null }, 'ModelError', /tokenizer\.ggml\.tokens is absent, expected a list/],
  [{ 'tokenizer.ggml.tokens': { i32s: [1] } }, 'ModelError', /tokenizer\.ggml\.tokens has an entry of the wrong type/],
  [{ 'tokenizer.ggml.tokens': { strings: ['a', 'b'] } }, 'ModelError', /token_type has 264 entries, expected 2/],
  [{ 'tokenizer.ggml.tokens': { strings: Array.from({ length: 264 }, () => 'a') } }, 'ModelError', /has a token twice/],
  [{ 'tokenizer.ggml.merges': u32(1) }, 'ModelError', /tokenizer\.ggml\.merges is 1, expected a list/],
  [{ 'tokenizer.chat_template': { string: 'x'.repeat(300_000) } }, 'ModelError', /chat_template: 300000 characters/],
]
for (const [changes, name, message] of refusedTokenizers) {
  test(`refused: ${JSON.stringify(changes).slice(0, 80)}`, () => {
    assert.throws(() => ggufTokenizer(file(changes)), { name, message })
  })
}

test('more tokens than the embedding has rows are refused', () => {
  const strings = Array.from({ length: 265 }, (_, id) => `t${id}`)
  const changes = { 'tokenizer.ggml.tokens': { strings }, 'tokenizer.ggml.token_type': { i32s: strings.map(() => 1) } }
  assert.throws(() => ggufTokenizer(file(changes)), /has 265 entries, but the embedding has 264 rows/)
})

test('a file that asks for it gets its first token put before every text', () => {
  const encode = (changes: Readonly<Record<string, Value>>) =>
    openTokenizer(ggufTokenizer(file(changes))).encode('a', { special: true })
  const plain = encode({})
  assert.equal(plain.length, 1)
  assert.deepEqual(encode({ 'tokenizer.ggml.add_bos_token': { bool: true } }), [1, ...plain])
})

test('the chat template and its tokens come along', () => {
  const files = ggufTokenizer(file({ 'tokenizer.chat_template': { string: '{{ messages }}' } }))
  assert.deepEqual(files.chatTemplate, { source: 'x.gguf: tokenizer.chat_template', text: '{{ messages }}' })
  assert.deepEqual([files.bosToken, files.eosToken], ['<s>', '</s>'])
})
