import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { AdapterError } from '../../src/errors.ts'
import { openPeft, readLora } from '../../src/hf/peft.ts'
import {
  adapterOf,
  loraConfig,
  loraTensors,
  refused,
  safetensorsBytes,
  smallBase,
  temporaryFolder,
  writeAdapter,
  type Tensors,
} from '../support/peft-files.ts'

const Q0 = 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight'

test('an adapter gives its modules, its largest rank and the digest of its bytes', async t => {
  const directory = await adapterOf(t, {})
  const adapter = await openPeft(directory, smallBase)
  const bytes = await Promise.all(
    ['adapter_config.json', 'adapter_model.safetensors'].map(name => readFile(join(directory, name))),
  )
  assert.equal(adapter.digest, `sha256:${createHash('sha256').update(Buffer.concat(bytes)).digest('hex')}`)
  assert.equal(adapter.directory, directory)
  assert.equal(adapter.rank, 2)
  assert.equal(adapter.bytes, bytes[1]?.length)
  assert.deepEqual([...adapter.modules.keys()].toSorted(), [
    'model.layers.0.self_attn.q_proj',
    'model.layers.0.self_attn.v_proj',
    'model.layers.1.self_attn.q_proj',
    'model.layers.1.self_attn.v_proj',
  ])
})

test('weights come back in float32 with their rank and scale', async t => {
  const tensors = loraTensors(/[qv]_proj/, 2)
  const directory = await adapterOf(t, { tensors })
  const lora = (await readLora(await openPeft(directory))).get('model.layers.0.self_attn.q_proj')
  assert.ok(lora)
  assert.deepEqual([lora.rank, lora.scale], [2, 2])
  assert.deepEqual(lora.a, Float32Array.from(tensors[Q0]?.data ?? []))
  assert.equal(lora.b.length, 8)
})

test('float16 and bfloat16 tensors are widened, wherever they begin in the file', async t => {
  const module = 'base_model.model.model.layers.0.self_attn.q_proj'
  // 1, -2, 0.5 and the largest float16; 1, -2, 0.5 and the largest bfloat16.
  const half = new Uint8Array(Uint16Array.of(0x3c00, 0xc000, 0x3800, 0x7bff).buffer)
  const brain = new Uint8Array(Uint16Array.of(0x3f80, 0xc000, 0x3f00, 0x7f7f).buffer)
  for (const padding of ['', ' ', '  ', '   ']) {
    const bytes = safetensorsBytes({
      [`${module}.lora_A.weight`]: { dtype: 'F16', shape: [1, 4], data: half },
      [`${module}.lora_B.weight`]: { dtype: 'BF16', shape: [4, 1], data: brain },
    })
    const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true))
    const padded = Buffer.concat([bytes.subarray(0, 8 + length), Buffer.from(padding), bytes.subarray(8 + length)])
    padded.writeBigUInt64LE(BigInt(length + padding.length))
    const config = loraConfig({ r: 1, target_modules: ['q_proj'], layers_to_transform: [0] })
    const directory = await adapterOf(t, { config, tensors: padded })
    const lora = (await readLora(await openPeft(directory, smallBase))).get('model.layers.0.self_attn.q_proj')
    assert.deepEqual([...(lora?.a ?? [])], [1, -2, 0.5, 65504])
    assert.deepEqual([...(lora?.b ?? [])], [1, -2, 0.5, 3.3895313892515355e38])
  }
})

test('missing files and missing directories are refused by path', async t => {
  await refused(t, { config: null }, /adapter_config\.json: not found/)
  await refused(t, { tensors: null }, /adapter_model\.safetensors: not found .*never pickle/)
  await assert.rejects(openPeft(join(await temporaryFolder(t), 'nowhere')), AdapterError)
})

test('a file that is a directory or a link out of the adapter is refused', async t => {
  const outside = await adapterOf(t, {})
  const linked = await adapterOf(t, { tensors: null })
  await symlink(join(outside, 'adapter_model.safetensors'), join(linked, 'adapter_model.safetensors'))
  await assert.rejects(openPeft(linked), /adapter_model\.safetensors: a link out of the directory/)
  const nested = await adapterOf(t, { tensors: null })
  await mkdir(join(nested, 'adapter_model.safetensors'))
  await assert.rejects(openPeft(nested), /adapter_model\.safetensors: not a file/)
})

test('the directory itself, and links within it, may be links', async t => {
  const directory = await adapterOf(t, { tensors: null })
  await writeFile(join(directory, 'weights.safetensors'), safetensorsBytes(loraTensors(/[qv]_proj/, 2)))
  await symlink('weights.safetensors', join(directory, 'adapter_model.safetensors'))
  const link = join(await temporaryFolder(t), 'link')
  await symlink(directory, link)
  assert.equal((await openPeft(link, smallBase)).directory, link)
})

test('tensors that are not exactly the pairs that target_modules selects are refused', async t => {
  const good = loraTensors(/[qv]_proj/, 2)
  const without = (name: string): Tensors => Object.fromEntries(Object.entries(good).filter(([key]) => key !== name))
  await refused(t, { tensors: without(Q0) }, /"model\.layers\.0\.self_attn\.q_proj" has no lora_A, expected both/)
  await refused(t, { tensors: loraTensors(/q_proj/, 2) }, /no tensors for "model\.layers\.0\.self_attn\.v_proj"/)
  await refused(t, { tensors: loraTensors(/layers\.0.*[qv]_proj/, 2) }, /no tensors for "model\.layers\.1/)
  await refused(t, { tensors: loraTensors(/(q|v|up)_proj/, 2) }, /up_proj", which target_modules does not select/)
  await refused(t, { tensors: {} }, /no tensors/)
  for (const name of [
    'lm_head.weight',
    'base_model.model.lm_head.weight',
    'base_model.model.model.embed_tokens.lora_embedding_A',
    'base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector',
    'base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias',
    'base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight',
  ]) {
    await refused(
      t,
      { tensors: { ...good, [name]: { shape: [1], data: [0] } } },
      /expected base_model\.model\.<module>/,
    )
  }
})

const lora = (module: string, inSize: number, out: number): Tensors => ({
  [`base_model.model.${module}.lora_A.weight`]: { shape: [2, inSize], data: Array(2 * inSize).fill(0.1) },
  [`base_model.model.${module}.lora_B.weight`]: { shape: [out, 2], data: Array(2 * out).fill(0.1) },
})

test('an adapter for another base is refused', async t => {
  const good = loraTensors(/[qv]_proj/, 2)
  await refused(
    t,
    { tensors: lora('transformer.h.0.attn.q_proj', 4, 4) },
    /no tensors for|"transformer\.h\.0\.attn\.q_proj" is no linear module of the base/,
  )
  await refused(
    t,
    { tensors: { ...good, ...lora('model.layers.2.self_attn.q_proj', 4, 4) } },
    /"model\.layers\.2\.self_attn\.q_proj" is no linear module of the base model/,
  )
  await refused(
    t,
    { tensors: { ...good, ...lora('model.layers.0.self_attn.q_proj', 8, 4) } },
    /lora_A of "model\.layers\.0\.self_attn\.q_proj" has shape \[2, 8\], expected \[2, 4\]/,
  )
  await refused(
    t,
    { tensors: { ...good, ...lora('model.layers.0.self_attn.v_proj', 4, 4) } },
    /lora_B of .* has shape \[4, 2\], expected \[2, 2\]/,
  )
})

test('tensors of another rank, dimension or dtype are refused', async t => {
  await refused(t, { tensors: loraTensors(/[qv]_proj/, 3) }, /lora_A of .* has shape \[3, 4\], expected \[2, 4\]/)
  await refused(
    t,
    { config: loraConfig({ rank_pattern: { v_proj: 4 } }) },
    /v_proj" has shape \[2, 4\], expected \[4, 4\]/,
  )
  const good = loraTensors(/[qv]_proj/, 2)
  await refused(t, { tensors: { ...good, [Q0]: { shape: [8], data: Array(8).fill(1) } } }, /has shape \[8\]/)
  await refused(
    t,
    { tensors: { ...good, [Q0]: { shape: [2, 4, 1], data: Array(8).fill(1) } } },
    /has shape \[2, 4, 1\]/,
  )
  await refused(t, { tensors: { ...good, [Q0]: { dtype: 'I8', shape: [2, 4], data: new Uint8Array(8) } } }, /dtype I8/)
  const directory = await adapterOf(t, { tensors: { ...good, [Q0]: { shape: [2, 0], data: [] } } })
  await assert.rejects(openPeft(directory), /has shape \[2, 0\], expected \[2, in\]/)
})

test('a value that is not finite is refused in every dtype, with its place', async t => {
  const good = loraTensors(/[qv]_proj/, 2)
  const place = new RegExp(`tensor "${Q0.replaceAll('.', '\\.')}" has a value at 5 that is not finite`)
  for (const bad of [Number.NaN, Infinity, -Infinity]) {
    await refused(t, { tensors: { ...good, [Q0]: { shape: [2, 4], data: [0, 0, 0, 0, 0, bad, 0, 0] } } }, place)
  }
  for (const [dtype, bits] of [
    ['F16', 0x7c00],
    ['F16', 0xfe00],
    ['BF16', 0xff80],
    ['BF16', 0x7fc0],
  ] as const) {
    const data = new Uint8Array(Uint16Array.of(0, 0, 0, 0, 0, bits, 0, 0).buffer)
    await refused(t, { tensors: { ...good, [Q0]: { dtype, shape: [2, 4], data } } }, place)
  }
})

test('an adapter whose files changed after admission is not read', async t => {
  const directory = await adapterOf(t, {})
  const adapter = await openPeft(directory)
  await writeAdapter(directory, { tensors: loraTensors(/[qv]_proj/, 2, 100) })
  await assert.rejects(readLora(adapter), /changed on disk: its digest is sha256:.*, expected sha256:/)
})

test('whatever bytes are broken or cut off, the weights are taken whole or refused as an adapter error', async t => {
  const directory = await adapterOf(t, {})
  const good = safetensorsBytes(loraTensors(/[qv]_proj/, 2))
  const file = join(directory, 'adapter_model.safetensors')
  await fc.assert(
    fc.asyncProperty(fc.nat(good.length - 1), fc.nat(255), fc.boolean(), async (place, byte, cut) => {
      const bytes = cut ? good.slice(0, place) : good.slice()
      if (!cut) bytes[place] = byte
      await writeFile(file, bytes)
      const outcome = await openPeft(directory, smallBase).catch((error: unknown) => error)
      if (outcome instanceof Error) assert.ok(outcome instanceof AdapterError, String(outcome))
      else assert.ok(!cut)
    }),
    { numRuns: 300 },
  )
})
