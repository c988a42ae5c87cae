import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { cp, mkdir, mkdtemp, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ModelError } from '../../src/errors.ts'
import { parseJsonObject, type JsonObject } from '../../src/hf/json.ts'
import { linearModules, modelDigest, openModel, readFloat32 } from '../../src/hf/model.ts'
import { openTokenizer } from '../../src/hf/tokenizer.ts'
import { safetensorsBytes, tinyLlamaGguf } from './model-files.ts'

const golden = join(import.meta.dirname, '../fixtures/golden')
const tiny = join(golden, 'tiny-llama')

/** A copy of the tiny model that a test may damage. */
async function copy(t: TestContext, model = tiny): Promise<string> {
  const path = join(await mkdtemp(join(tmpdir(), 'lorastream-')), 'model')
  t.after(() => rm(join(path, '..'), { recursive: true }))
  await cp(model, path, { recursive: true })
  return path
}

async function json(path: string): Promise<JsonObject> {
  return parseJsonObject(path, await readFile(path), message => new ModelError(message))
}

async function change(path: string, changes: JsonObject): Promise<void> {
  await writeFile(path, JSON.stringify({ ...(await json(path)), ...changes }))
}

test('a directory opens with exactly the tensors that its config demands', async () => {
  const model = await openModel(tiny)
  assert.equal(model.id, 'tiny-llama')
  assert.equal(model.format, 'safetensors')
  assert.equal(model.tensors.size, 21)
  const query = model.tensors.get('model.layers.1.self_attn.k_proj.weight')
  assert.deepEqual(query?.shape, [32, 64])
  assert.equal(query?.file, join(tiny, 'model.safetensors'))
  assert.equal(openTokenizer(model.tokenizer).vocabSize, 259)
})

for (const name of ['llama3-rope', 'qwen2']) {
  test(`arch/${name} opens: tied, with its own biases`, async () => {
    const model = await openModel(join(golden, 'arch', name))
    assert.equal(model.config.tied, true)
    assert.equal(model.tensors.has('lm_head.weight'), false)
    assert.equal(model.tensors.has('model.layers.0.self_attn.q_proj.bias'), name === 'qwen2')
  })
}

test('the seven linears of each layer are named with their sizes', async () => {
  const modules = linearModules((await openModel(tiny)).config)
  assert.equal(modules.size, 14)
  assert.deepEqual(modules.get('model.layers.0.self_attn.v_proj'), { in: 64, out: 32 })
  assert.deepEqual(modules.get('model.layers.1.mlp.down_proj'), { in: 176, out: 64 })
})

test("the digest is that of the config's bytes, then the weights'", async () => {
  const hash = createHash('sha256')
  for (const name of ['config.json', 'model.safetensors']) hash.update(await readFile(join(tiny, name)))
  assert.equal(await modelDigest(await openModel(tiny)), `sha256:${hash.digest('hex')}`)
})

test('a GGUF file of the same model has the same config, weights and tokens', async t => {
  const source = await openModel(tiny)
  const path = join(await copy(t), 'tiny.gguf')
  await writeFile(path, await tinyLlamaGguf(source))
  const model = await openModel(path)
  assert.equal(model.id, 'tiny.gguf')
  assert.equal(model.format, 'gguf')
  assert.deepEqual({ ...model.config, normEps: 0 }, { ...source.config, normEps: 0 })
  assert.ok(Math.abs(model.config.normEps - 1e-6) < 1e-12)
  assert.deepEqual([...model.tensors.keys()].toSorted(), [...source.tensors.keys()].toSorted())
  for (const [name, ref] of source.tensors) {
    const other = model.tensors.get(name)
    assert.ok(other !== undefined)
    assert.deepEqual(await readFloat32(other), await readFloat32(ref), name)
  }
  const text = 'Grüße 123'
  const encode = (opened: typeof model) => openTokenizer(opened.tokenizer).encode(text, { special: false })
  assert.deepEqual(encode(model), encode(source))
  const digest = createHash('sha256')
    .update(await readFile(path))
    .digest('hex')
  assert.equal(await modelDigest(model), `sha256:${digest}`)
})

test('weights in several files are found through the index, or by their names alone', async t => {
  const path = await copy(t)
  const whole = await openModel(path)
  const names = [...whole.tensors.keys()]
  const files = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
  const places: Record<string, string> = {}
  for (const [half, file] of files.entries()) {
    const part = new Map<string, { shape: readonly number[]; values: Float32Array }>()
    for (const name of names.filter((_, index) => index % 2 === half)) {
      const ref = whole.tensors.get(name)
      assert.ok(ref !== undefined)
      part.set(name, { shape: ref.shape, values: await readFloat32(ref) })
      places[name] = file
    }
    await writeFile(join(path, file), safetensorsBytes(part))
  }
  await rm(join(path, 'model.safetensors'))
  const check = async () => {
    const model = await openModel(path)
    assert.deepEqual(
      model.files.map(file => basename(file)),
      ['config.json', ...files],
    )
    assert.equal(model.tensors.size, 21)
  }
  await check()
  const index = join(path, 'model.safetensors.index.json')
  await writeFile(index, JSON.stringify({ metadata: {}, weight_map: places }))
  await check()

  const refused = async (weightMap: unknown, message: RegExp) => {
    await writeFile(index, JSON.stringify({ weight_map: weightMap }))
    await assert.rejects(openModel(path), { name: 'ModelError', message })
  }
  await refused(7, /index\.json: weight_map is 7, expected an object/)
  for (const place of [
    '../model.safetensors',
    '/etc/passwd',
    'a/../b.safetensors',
    'a\\b.safetensors',
    'pickle.bin',
    7,
  ]) {
    await refused({ ...places, 'model.norm.weight': place }, /index\.json: tensor "model\.norm\.weight" is in /)
  }
  await refused({ ...places, 'model.norm.weight': files[1] }, /tensor "model\.norm\.weight" is not in model-00002/)
  await refused({ ...places, extra: files[0] }, /tensor "extra" is not in/)
  await refused({ ...places, 'model.norm.weight': 'none.safetensors' }, /none\.safetensors: cannot be opened/)
})

test('a directory whose files are links opens, as in a download cache', async t => {
  const path = await copy(t)
  await mkdir(join(path, '../blobs'))
  await rename(join(path, 'model.safetensors'), join(path, '../blobs/x'))
  await symlink('../blobs/x', join(path, 'model.safetensors'))
  const model = await openModel(path)
  assert.equal(model.tensors.get('model.norm.weight')?.file.endsWith('blobs/x'), true)
})

test('missing, extra and misshapen tensors are refused by name', async t => {
  const path = await copy(t)
  const config = join(path, 'config.json')
  await change(config, { num_hidden_layers: 3 })
  await assert.rejects(openModel(path), /tensor "model\.layers\.2\.input_layernorm\.weight" is missing/)
  await change(config, { num_hidden_layers: 1 })
  await assert.rejects(openModel(path), /tensor "model\.layers\.1\.\S+" is none that the config knows/)
  await change(config, { num_hidden_layers: 2, intermediate_size: 100 })
  await assert.rejects(openModel(path), /down_proj\.weight" has shape \[64, 176\], expected \[64, 100\]/)
  await change(config, { intermediate_size: 176, attention_bias: true })
  await assert.rejects(openModel(path), /tensor "model\.layers\.0\.self_attn\.q_proj\.bias" is missing/)
})

test('a tied model may carry its output head, and old ones their rope buffers', async t => {
  const path = await copy(t)
  await change(join(path, 'config.json'), { tie_word_embeddings: true })
  assert.equal((await openModel(path)).tensors.has('lm_head.weight'), false)
  const tensor = { shape: [8], values: new Float32Array(8) }
  const buffers = new Map([['model.layers.0.self_attn.rotary_emb.inv_freq', tensor]])
  await writeFile(join(path, 'more.safetensors'), safetensorsBytes(buffers))
  await rename(join(path, 'model.safetensors'), join(path, 'weights.safetensors'))
  assert.equal((await openModel(path)).tensors.size, 20)
  await writeFile(join(path, 'again.safetensors'), safetensorsBytes(new Map([['model.norm.weight', tensor]])))
  await assert.rejects(openModel(path), /tensor "model\.norm\.weight" is in \S+ too/)
})

test('what is no model is refused with its path', async t => {
  const path = await copy(t)
  const refused = async (what: string, message: RegExp) => {
    await assert.rejects(openModel(what), { code: /^MODEL_/, message })
  }
  await refused(join(path, 'nowhere'), /nowhere: no such model directory or file/)
  await refused(join(path, 'config.json'), /config\.json: expected a Hugging Face directory or a \.gguf file/)
  await writeFile(join(path, 'empty.gguf'), '')
  await refused(join(path, 'empty.gguf'), /empty\.gguf: header ends/)
  await truncate(join(path, 'model.safetensors'), 1000)
  await refused(path, /model\.safetensors: header of 2136 bytes, expected at most 992/)
  await rm(join(path, 'model.safetensors'))
  await refused(path, /no \.safetensors file/)
  await writeFile(join(path, 'pytorch_model.bin'), '')
  await refused(path, /pytorch_model\.bin: weights as pickle, expected \.safetensors/)
  await writeFile(join(path, 'config.json'), '{')
  await refused(path, /config\.json is not JSON/)
  await writeFile(join(path, 'config.json'), 'x'.repeat(2_000_000))
  await refused(path, /config\.json: 2000000 bytes, expected at most/)
  await rm(join(path, 'config.json'))
  await refused(path, /config\.json: not found/)
})
