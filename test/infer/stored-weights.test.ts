import assert from 'node:assert/strict'
import {
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ConfigError } from '../../src/errors.ts'
import { modelDigest, openModel, readFloat32, type Model } from '../../src/hf/model.ts'
import { onnxEngine } from '../../src/infer/onnx-engine.ts'
import { quantise, scalesOf } from '../../src/infer/quantise.ts'
import { storeWeights, type StoreOptions } from '../../src/infer/stored-weights.ts'
import type { StoredWeights } from '../../src/infer/weights.ts'
import { safetensorsBytes, tinyLlamaGguf } from '../hf/model-files.ts'
import { greedyRow } from '../../src/row.ts'
import { temporaryFolder } from '../support/peft-files.ts'
import { tinyEngine, tinyLlama, tinyTokens } from '../support/tiny-engine.ts'

const model = await openModel(tinyLlama)
const digest = await modelDigest(model)

/** Stores the small model's weights, and says whether anything was converted. */
async function store(cache: string, given: Partial<StoreOptions> = {}, of: Model = model) {
  let converted = 0
  const options = { precision: 'int8', cache, digest, onProgress: () => (converted += 1), ...given } as const
  return { stored: await storeWeights(of, options), converted }
}

/** A stored tensor's bytes. */
async function bytesOf({ folder, tensors }: StoredWeights, name: string): Promise<Uint8Array<ArrayBuffer>> {
  const tensor = tensors.get(name)
  assert.ok(tensor, name)
  const file = await readFile(join(folder, tensor.location))
  return Uint8Array.from(file.subarray(tensor.offset, tensor.offset + tensor.length))
}

const float32 = (bytes: Uint8Array<ArrayBuffer>): Float32Array => new Float32Array(bytes.buffer)

/** The one file of a cache. */
async function fileOf(cache: string): Promise<string> {
  const names = await readdir(cache)
  assert.equal(names.length, 1, names.join())
  return join(cache, names[0] ?? '')
}

test('int8: matrices are stored quantised with their scales, the rest as float32, all under their own names', async t => {
  const { stored, converted } = await store(join(await temporaryFolder(t), 'deep', 'er'))
  assert.equal(converted, model.tensors.size)
  for (const [name, ref] of model.tensors) {
    const values = await readFloat32(ref)
    const tensor = stored.tensors.get(name)
    if (ref.shape.length === 1) {
      assert.deepEqual([tensor?.type, tensor?.shape], ['float32', ref.shape])
      assert.deepEqual(float32(await bytesOf(stored, name)), values)
      continue
    }
    const wanted = quantise(values, ref.shape[1] ?? 0)
    assert.equal(tensor?.type, 'uint8')
    assert.deepEqual(await bytesOf(stored, name), wanted.values)
    assert.deepEqual(float32(await bytesOf(stored, scalesOf(name))), wanted.scales)
  }
  const names = [...model.tensors].flatMap(([name, { shape }]) =>
    shape.length === 1 ? [name] : [name, scalesOf(name)],
  )
  assert.deepEqual(new Set(stored.tensors.keys()), new Set(names))
})

test('int8: q, k and v of a layer lie side by side, and so do their scales', async t => {
  const { stored } = await store(await temporaryFolder(t))
  for (let layer = 0; layer < model.config.layers; layer += 1) {
    const names = ['q', 'k', 'v'].map(kind => `model.layers.${layer}.self_attn.${kind}_proj.weight`)
    for (const follow of [names, names.map(scalesOf)]) {
      const [q, k, v] = follow.map(name => stored.tensors.get(name))
      assert.ok(q && k && v)
      assert.deepEqual([k.offset, v.offset], [q.offset + q.length, k.offset + k.length])
    }
  }
})

test('the cache is written once a model and precision, and read afterwards', async t => {
  const cache = await temporaryFolder(t)
  await store(cache)
  const file = await fileOf(cache)
  await utimes(file, 1, 1)
  assert.equal((await store(cache)).converted, 0)
  assert.equal((await stat(file)).mtimeMs, 1000)
  const other = `sha256:${'0'.repeat(64)}` as const
  assert.equal((await store(cache, { digest: other })).converted, model.tensors.size)
  assert.equal((await readdir(cache)).length, 2)
})

test('conversions at the same time do not meet: each has the whole file, and one is left', async t => {
  const cache = await temporaryFolder(t)
  const [first, ...others] = await Promise.all([1, 2, 3, 4].map(() => store(cache)))
  const whole = await readFile(await fileOf(cache))
  for (const { stored } of others) assert.deepEqual(stored, first?.stored)
  const apart = await temporaryFolder(t)
  await store(apart)
  assert.deepEqual(whole, await readFile(await fileOf(apart)))
})

const damages: Readonly<Record<string, (file: string, size: number) => Promise<void>>> = {
  'cut short': (file, size) => truncate(file, size - 1),
  'cut in its header': file => truncate(file, 20),
  empty: file => truncate(file, 0),
  'longer than its header says': async file => writeFile(file, Buffer.concat([await readFile(file), Buffer.of(0)])),
  'no safetensors file': file => writeFile(file, 'x'.repeat(5000)),
  'a safetensors file of something else': file =>
    writeFile(file, safetensorsBytes(new Map([['other', { shape: [2], values: Float32Array.of(1, 2) }]]))),
}

for (const [what, damage] of Object.entries(damages)) {
  test(`a cached file that is ${what} is written again`, async t => {
    const cache = await temporaryFolder(t)
    await store(cache)
    const file = await fileOf(cache)
    const before = await readFile(file)
    await damage(file, before.length)
    const { stored, converted } = await store(cache)
    assert.equal(converted, model.tensors.size)
    assert.deepEqual(await readFile(await fileOf(cache)), before)
    assert.ok(stored.tensors.has('model.norm.weight'))
  })
}

test('a cache that cannot be written is a ConfigError that names the file, and leaves nothing', async t => {
  const folder = await temporaryFolder(t)
  const blocked = join(folder, 'file')
  await writeFile(blocked, '')
  for (const cache of [blocked, join(blocked, 'deeper')]) {
    await assert.rejects(store(cache), error => {
      assert.ok(error instanceof ConfigError, String(error))
      assert.match(error.message, /file.*\.int8\.v\d+\.safetensors: converted weights cannot be written: E/)
      return true
    })
  }
  // A folder in the file's place: all is written, and cannot be moved there.
  const cache = join(folder, 'cache')
  await store(cache)
  const file = await fileOf(cache)
  await rename(file, join(folder, 'aside'))
  await mkdir(join(file, 'in the way'), { recursive: true })
  await assert.rejects(store(cache), ConfigError)
  assert.deepEqual(await readdir(cache), [file.slice(cache.length + 1)])
})

/** The small model in two files with an index; the second is a link to another folder, as the hub's cache has them. */
async function sharded(t: TestContext): Promise<string> {
  const directory = join(await temporaryFolder(t), 'sharded')
  await mkdir(directory)
  for (const name of ['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json'])
    await copyFile(join(tinyLlama, name), join(directory, name))
  const files = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
  const map: Record<string, string> = {}
  for (const [part, file] of files.entries()) {
    const tensors = new Map<string, { shape: readonly number[]; values: Float32Array }>()
    for (const [index, [name, ref]] of [...model.tensors].entries()) {
      if (index % 2 !== part) continue
      tensors.set(name, { shape: ref.shape, values: await readFloat32(ref) })
      map[name] = file
    }
    const place = join(part === 0 ? directory : dirname(directory), file)
    await writeFile(place, safetensorsBytes(tensors))
    if (part === 1) await symlink(place, join(directory, file))
  }
  await writeFile(join(directory, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: map }))
  return directory
}

test('float32 of a directory, in one file or several, is taken from its own files, and the cache stays empty', async t => {
  const cache = await temporaryFolder(t)
  for (const path of [tinyLlama, await sharded(t)]) {
    const of = await openModel(path)
    const { stored, converted } = await store(cache, { precision: 'float32' }, of)
    assert.equal(converted, 0)
    assert.deepEqual(new Set(stored.tensors.keys()), new Set(model.tensors.keys()))
    for (const name of ['model.embed_tokens.weight', 'model.norm.weight', 'model.layers.1.mlp.down_proj.weight']) {
      const ref = model.tensors.get(name)
      assert.ok(ref)
      assert.deepEqual(float32(await bytesOf(stored, name)), await readFloat32(ref))
    }
  }
  assert.deepEqual(await readdir(cache), [])
})

test('one model answers alike from one file, from several, and from GGUF, at each precision', async t => {
  const folder = await temporaryFolder(t)
  const gguf = join(folder, 'tiny.gguf')
  await writeFile(gguf, await tinyLlamaGguf(model))
  const rows = [1, 2, 3].map(step => greedyRow(tinyTokens(9 + step, step), 16))
  const batch = { rows, stack: [], mapping: rows.map(() => []) }
  for (const precision of ['float32', 'int8'] as const) {
    const expected = await (await tinyEngine(t, { precision })).run(batch)
    for (const path of [await sharded(t), gguf]) {
      const engine = await onnxEngine(path, { precision, template: 'raw', cache: join(folder, 'cache') })
      assert.deepEqual(await engine.run(batch), expected, path)
      await engine.close()
    }
  }
})
