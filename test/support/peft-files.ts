import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { AdapterError } from '../../src/errors.ts'
import { openPeft, type BaseModules } from '../../src/hf/peft.ts'

/** A tensor to be written: float32 values, or bytes of another dtype as they are. */
export type TensorToWrite = {
  readonly dtype?: string
  readonly shape: readonly number[]
  readonly data: readonly number[] | Uint8Array
}

export type Tensors = Readonly<Record<string, TensorToWrite>>

/** What a PEFT directory is made of; what is absent is as `writeAdapter` would have it, `null` leaves the file out. */
export type AdapterFiles = {
  readonly config?: Readonly<Record<string, unknown>> | string | null
  readonly tensors?: Tensors | Uint8Array | null
  readonly samples?: readonly string[] | string | null
}

/** A small base: two layers of four linear modules. */
export const smallBase: BaseModules = new Map<string, { in: number; out: number }>(
  [0, 1].flatMap(layer => [
    [`model.layers.${layer}.self_attn.q_proj`, { in: 4, out: 4 }],
    [`model.layers.${layer}.self_attn.v_proj`, { in: 4, out: 2 }],
    [`model.layers.${layer}.mlp.up_proj`, { in: 4, out: 8 }],
    [`model.layers.${layer}.mlp.down_proj`, { in: 8, out: 4 }],
  ]),
)

/** LoRA tensors for the modules of `smallBase` whose names match, with distinct values; `salt` makes others. */
export function loraTensors(matching: RegExp, rank: number | ((module: string) => number), salt = 0): Tensors {
  const tensors: Record<string, TensorToWrite> = {}
  let value = salt
  const next = (count: number): number[] => Array.from({ length: count }, () => Math.sin((value += 1)))
  for (const [module, { in: inSize, out }] of smallBase) {
    if (!matching.test(module)) continue
    const r = typeof rank === 'number' ? rank : rank(module)
    tensors[`base_model.model.${module}.lora_A.weight`] = { shape: [r, inSize], data: next(r * inSize) }
    tensors[`base_model.model.${module}.lora_B.weight`] = { shape: [out, r], data: next(out * r) }
  }
  return tensors
}

/** The options that an adapter on q and v of rank 2 and alpha 4 has, under others. */
export function loraConfig(options: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { peft_type: 'LORA', r: 2, lora_alpha: 4, target_modules: ['q_proj', 'v_proj'], bias: 'none', ...options }
}

/** The bytes of a safetensors file. */
export function safetensorsBytes(tensors: Tensors): Uint8Array {
  const header: Record<string, unknown> = {}
  const parts: Uint8Array[] = []
  let offset = 0
  for (const [name, { dtype = 'F32', shape, data }] of Object.entries(tensors)) {
    const bytes = data instanceof Uint8Array ? data : new Uint8Array(Float32Array.from(data).buffer)
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.length] }
    offset += bytes.length
    parts.push(bytes)
  }
  const json = new TextEncoder().encode(JSON.stringify(header))
  const length = new Uint8Array(8)
  new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true)
  return Buffer.concat([length, json, ...parts])
}

/** Writes a PEFT directory and gives back its path. */
export async function writeAdapter(directory: string, files: AdapterFiles = {}): Promise<string> {
  const { config = loraConfig(), tensors = loraTensors(/[qv]_proj/, 2), samples = null } = files
  await mkdir(directory, { recursive: true })
  const put = (name: string, bytes: string | Uint8Array): Promise<void> => writeFile(join(directory, name), bytes)
  if (config !== null) await put('adapter_config.json', typeof config === 'string' ? config : JSON.stringify(config))
  if (tensors !== null) {
    await put('adapter_model.safetensors', tensors instanceof Uint8Array ? tensors : safetensorsBytes(tensors))
  }
  if (samples !== null) {
    const lines = typeof samples === 'string' ? samples : samples.map(text => JSON.stringify({ text })).join('\n')
    await put('samples.jsonl', lines)
  }
  return directory
}

/** A folder that is gone after the test. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lorastream-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A directory of its own with an adapter in it. */
export async function adapterOf(t: TestContext, files: AdapterFiles): Promise<string> {
  return await writeAdapter(join(await temporaryFolder(t), 'adapter'), files)
}

/** Opens an adapter against the small base and expects it to be refused with a message that names `expected`. */
export async function refused(t: TestContext, files: AdapterFiles, expected: RegExp): Promise<void> {
  const directory = await adapterOf(t, files)
  await assert.rejects(openPeft(directory, smallBase), error => {
    assert.ok(error instanceof AdapterError, String(error))
    assert.match(error.message, expected)
    return true
  })
}
