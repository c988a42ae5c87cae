import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { cp, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ConfigError, ModelError, StageError, UnsupportedModelError } from '../../src/errors.ts'
import { readSafetensorsHeader } from '../../src/hf/safetensors.ts'
import { modelBytes } from '../../src/onnx/proto.ts'
import type { Encoder } from '../../src/ports.ts'
import { bertGraph, parseBertConfig } from '../../src/retrieve/bert.ts'
import { onnxEncoder } from '../../src/retrieve/onnx-encoder.ts'
import { cosine, encoderContract } from '../contracts/encoder.ts'
import { hashEncoder } from '../support/fakes.ts'
import { temporaryFolder } from '../support/peft-files.ts'

const fixtures = fileURLToPath(new URL('../fixtures/encoder/', import.meta.url))
const tiny = join(fixtures, 'tiny')
const miniLm = fileURLToPath(new URL('../../models/all-minilm-l6-v2', import.meta.url))

async function open(t: TestContext, directory: string): Promise<Encoder> {
  const encoder = await onnxEncoder(directory)
  t.after(() => encoder.close())
  return encoder
}

/** A copy of the small encoder with some of its JSON files changed; `null` takes a file away. */
async function variant(t: TestContext, files: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const directory = join(await temporaryFolder(t), 'variant')
  await cp(tiny, directory, { recursive: true })
  for (const [name, value] of Object.entries(files)) {
    if (value === null) await rm(join(directory, name))
    else await writeFile(join(directory, name), typeof value === 'string' ? value : JSON.stringify(value))
  }
  return directory
}

/** A JSON file of the fixtures, which make.py wrote in the shape that the caller names. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the shape is the caller's word
function fixture<Shape>(name: string): Shape {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return JSON.parse(readFileSync(join(fixtures, name), 'utf8')) as Shape
}

const config = fixture<Record<string, unknown>>('tiny/config.json')

/** Texts, and vectors that test/fixtures/encoder/make.py computed of them. */
function reference(
  name: string,
  pooling = 'mean',
): { readonly texts: readonly string[]; readonly vectors: readonly Float32Array[] } {
  const { texts, vectors } = fixture<{
    readonly texts: readonly string[]
    readonly vectors: Readonly<Record<string, readonly string[]>>
  }>(name)
  const decoded = (vectors[pooling] ?? []).map(
    text => new Float32Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer),
  )
  return { texts, vectors: decoded }
}

async function assertAgrees(encoder: Encoder, name: string, pooling = 'mean', tolerance = 1e-6): Promise<void> {
  const { texts, vectors } = reference(name, pooling)
  const found = await encoder.encode(texts)
  for (const [index, vector] of vectors.entries()) {
    const distance = 1 - cosine(found[index], vector)
    assert.ok(distance < tolerance, `${JSON.stringify(texts[index]?.slice(0, 40))} is off by ${distance}`)
  }
}

encoderContract('hash', () => Promise.resolve(hashEncoder()))
encoderContract('onnxEncoder', t => open(t, tiny))

test('vectors agree with an independent computation, for each pooling', async t => {
  for (const [option, pooling] of [
    ['pooling_mode_mean_tokens', 'mean'],
    ['pooling_mode_cls_token', 'cls'],
    ['pooling_mode_max_tokens', 'max'],
  ] as const) {
    const directory = await variant(t, { '1_Pooling/config.json': { pooling_mode_lasttoken: false, [option]: true } })
    await assertAgrees(await open(t, directory), 'tiny.json', pooling)
  }
})

test(
  'all-MiniLM-L6-v2 agrees with an independent computation',
  { skip: !existsSync(miniLm) && 'no models/all-minilm-l6-v2: run models pull' },
  async t => {
    const encoder = await open(t, miniLm)
    assert.deepEqual([encoder.facts.id, encoder.facts.dimension], ['all-minilm-l6-v2', 384])
    await assertAgrees(encoder, 'minilm.json')
  },
)

test('without Normalize vectors are of unit length all the same', async t => {
  const modules = fixture<readonly unknown[]>('tiny/modules.json')
  const directory = await variant(t, { 'modules.json': modules.slice(0, 2) })
  await assertAgrees(await open(t, directory), 'tiny.json')
})

test('weights in half precision, and under the name of a model with a head, are taken', async t => {
  const directory = await variant(t)
  const file = join(directory, 'model.safetensors')
  const { tensors } = await readSafetensorsHeader(file, message => new ModelError(message))
  const bytes = await readFile(file)
  const header: Record<string, unknown> = {}
  const parts: Uint8Array[] = []
  let offset = 0
  for (const [name, { shape, offset: start, length }] of tensors) {
    const floats = new Uint32Array(Uint8Array.from(bytes.subarray(start, start + length)).buffer)
    // The upper half of a float32 is a bfloat16, off by less than 1 %.
    const part = new Uint8Array(Uint16Array.from(floats, bits => bits >>> 16).buffer)
    header[`bert.${name}`] = { dtype: 'BF16', shape, data_offsets: [offset, offset + part.length] }
    offset += part.length
    parts.push(part)
  }
  const json = Buffer.from(JSON.stringify(header))
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(json.length))
  await writeFile(file, Buffer.concat([size, json, ...parts]))
  await assertAgrees(await open(t, directory), 'tiny.json', 'mean', 1e-3)
})

test('onnx/model.onnx is used when there is one', async t => {
  const directory = await variant(t)
  const weights = join(directory, 'model.safetensors')
  const { tensors } = await readSafetensorsHeader(weights, message => new ModelError(message))
  const graph = bertGraph(parseBertConfig('config.json', config), { path: weights, location: 'weights.bin', tensors })
  await mkdir(join(directory, 'onnx'))
  await writeFile(join(directory, 'onnx', 'model.onnx'), modelBytes(graph, { producerVersion: 'test' }))
  await rename(weights, join(directory, 'onnx', 'weights.bin'))
  await writeFile(join(directory, 'config.json'), JSON.stringify({ ...config, model_type: 'mpnet' }))
  await assertAgrees(await open(t, directory), 'tiny.json')
  await writeFile(join(directory, 'onnx', 'model.onnx'), 'no model')
  await assert.rejects(onnxEncoder(directory), /onnx\/model\.onnx: cannot be opened/)
})

test('the digest is of the files that were loaded', async t => {
  const digest = async (directory: string): Promise<string> => (await open(t, directory)).facts.digest
  const first = await digest(tiny)
  assert.equal(await digest(await variant(t)), first)
  assert.notEqual(await digest(await variant(t, { 'sentence_bert_config.json': { max_seq_length: 40 } })), first)
  assert.notEqual(await digest(await variant(t, { 'sentence_bert_config.json': null })), first)
})

test('a text is cut to the length that the encoder was made for', async t => {
  const words = Array.from({ length: 20 }, () => 'one two three')
  const directory = await variant(t, { 'sentence_bert_config.json': { max_seq_length: 8 } })
  const [long, short, other] = await (await open(t, directory)).encode([words.join(' '), 'one two', 'a b c d e f g h'])
  assert.ok(cosine(long, short) < 0.9999 && cosine(long, other) < 0.9999)
  const [again] = await (await open(t, directory)).encode([`${words.slice(0, 10).join(' ')} and something else`])
  assert.ok(cosine(long, again) > 1 - 1e-6)
})

test('a text of a megabyte is encoded from its beginning', async t => {
  const encoder = await open(t, tiny)
  const texts = ['one two three '.repeat(75_000), 'x'.repeat(1_000_000), ' '.repeat(1_000_000), '你'.repeat(350_000)]
  const vectors = await encoder.encode(texts)
  const [beginning, , empty] = await encoder.encode(['one two three '.repeat(100), '', ''])
  assert.ok(cosine(vectors[0], beginning) > 1 - 1e-6)
  assert.ok(cosine(vectors[2], empty) > 1 - 1e-6)
})

test('files that are missing, damaged or unsupported are refused by name', async t => {
  const cases: readonly (readonly [
    Record<string, unknown>,
    typeof ModelError | typeof UnsupportedModelError,
    RegExp,
  ])[] = [
    [{ 'modules.json': null }, ModelError, /modules\.json: not found/],
    [{ 'modules.json': '[' }, ModelError, /modules\.json is not JSON/],
    [{ 'modules.json': {} }, ModelError, /modules\.json is .*, expected a list/],
    [{ 'modules.json': [{ type: 'x.Transformer', path: '../..' }] }, ModelError, /a path within the directory/],
    [
      { 'modules.json': ['Transformer', 'Pooling', 'Dense'].map(kind => ({ type: `s.models.${kind}`, path: '' })) },
      UnsupportedModelError,
      /modules are Transformer, Pooling, Dense, expected/,
    ],
    [{ '1_Pooling/config.json': null }, ModelError, /1_Pooling\/config\.json: not found/],
    [
      { '1_Pooling/config.json': { pooling_mode_lasttoken: true } },
      UnsupportedModelError,
      /pooling is pooling_mode_lasttoken/,
    ],
    [{ '1_Pooling/config.json': {} }, UnsupportedModelError, /pooling is/],
    [
      { '1_Pooling/config.json': { pooling_mode_cls_token: true, pooling_mode_mean_tokens: true } },
      UnsupportedModelError,
      /expected mean, cls or max alone/,
    ],
    [{ 'sentence_bert_config.json': { max_seq_length: 2 } }, ModelError, /max_seq_length is 2/],
    [{ 'config.json': null }, ModelError, /config\.json: not found/],
    [
      { 'config.json': { ...config, model_type: 'mpnet' } },
      UnsupportedModelError,
      /model_type is mpnet, expected bert/,
    ],
    [{ 'config.json': { ...config, hidden_act: 'swish' } }, UnsupportedModelError, /hidden_act is swish/],
    [
      { 'config.json': { ...config, position_embedding_type: 'relative_key' } },
      UnsupportedModelError,
      /position_embedding_type/,
    ],
    [{ 'config.json': { ...config, num_attention_heads: 5 } }, ModelError, /no multiple of 5 heads/],
    [{ 'config.json': { ...config, hidden_size: -1 } }, ModelError, /hidden_size is -1/],
    [{ 'config.json': { ...config, num_hidden_layers: 3 } }, ModelError, /no tensor "encoder\.layer\.2/],
    [
      { 'config.json': { ...config, vocab_size: 99 } },
      ModelError,
      /word_embeddings\.weight" is F32 .*expected floats \[99, 32\]/,
    ],
    [{ 'tokenizer.json': null }, ModelError, /tokenizer\.json: not found/],
    [{ 'tokenizer.json': '{}' }, ModelError, /tokenizer\.json/],
    [{ 'model.safetensors': null }, ModelError, /model\.safetensors: cannot be opened/],
    [{ 'model.safetensors': 'short' }, ModelError, /model\.safetensors/],
  ]
  for (const [files, kind, message] of cases) {
    await assert.rejects(onnxEncoder(await variant(t, files)), error => {
      assert.ok(error instanceof kind, String(error))
      assert.match(error.message, message)
      return true
    })
  }
  await assert.rejects(onnxEncoder(join(tiny, 'nowhere')), /modules\.json: not found/)
  await assert.rejects(onnxEncoder(tiny, { threads: 0 }), ConfigError)
})

test('the event loop keeps turning while texts are encoded', async t => {
  const encoder = await open(t, tiny)
  let turns = 0
  const counting = setInterval(() => (turns += 1), 1)
  await encoder.encode(Array.from({ length: 600 }, (_, index) => `${index} `.repeat(40)))
  clearInterval(counting)
  assert.ok(turns > 5, `${turns} turns`)
})

test('calls at once are all answered, a closed encoder answers no more', async () => {
  const encoder = await onnxEncoder(tiny)
  const asked = Array.from({ length: 10 }, (_, index) => encoder.encode([`text ${index}`, 'same']))
  const closing = encoder.close()
  const answers = await Promise.all(asked)
  for (const [, same] of answers) assert.ok(cosine(same, answers[0]?.[1]) > 1 - 1e-6)
  await closing
  await encoder.close()
  await assert.rejects(encoder.encode(['late']), StageError)
})
