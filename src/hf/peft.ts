import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { AdapterError } from '../errors.ts'
import type { Digest } from '../lora.ts'
import { readConfined } from './confined-file.ts'
import { parseJsonObject, shown, type Fail } from './json.ts'
import { parsePeftConfig } from './peft-config.ts'
import { moduleScales, targetedModules, type ModuleScale } from './peft-modules.ts'
import { isFloatDtype, parseSafetensorsHeader, toFloat32, type FloatDtype, type TensorInfo } from './safetensors.ts'

/** The linear modules of a base model by name (`model.layers.0.self_attn.q_proj`), and their sizes. */
export type BaseModules = ReadonlyMap<string, { readonly in: number; readonly out: number }>

/** A PEFT directory that has passed every check. */
export type PeftAdapter = {
  readonly directory: string
  /** sha256 over the bytes of `adapter_config.json`, then `adapter_model.safetensors`. */
  readonly digest: Digest
  /** The largest rank among its modules. */
  readonly rank: number
  readonly modules: ReadonlyMap<string, PeftModule>
  /** Size of `adapter_model.safetensors`. */
  readonly bytes: number
}

/** A LoRA's two matrices on one module: `a` is `[rank, in]`, `b` is `[out, rank]`. */
export type PeftModule = ModuleScale & { readonly a: TensorInfo; readonly b: TensorInfo }

/** The same in memory, row-major. */
export type LoraWeights = ModuleScale & { readonly a: Float32Array; readonly b: Float32Array }

export const CONFIG_FILE = 'adapter_config.json'
export const WEIGHTS_FILE = 'adapter_model.safetensors'

/** An adapter that lists each module of a large base takes about 100 KB. */
const MAX_CONFIG_BYTES = 1024 * 1024

/** Rank 128 on every linear module of a base of 7 billion parameters is 640 MB in float32; a file is read whole. */
const MAX_WEIGHTS_BYTES = 1024 * 1024 * 1024

/** Bytes to hash or check between two turns of the event loop: below 3 ms. */
const SLICE_BYTES = 1024 * 1024

const fail: Fail = (message, options) => new AdapterError(message, options)

/**
 * Reads a PEFT directory once and checks it in full: options, tensors, shapes (against `modules`, when they are given)
 * and that every value is finite. Keeps no weights, and never holds the event loop for more than a few ms.
 * @throws AdapterError naming the file, the option or the tensor.
 */
export async function openPeft(directory: string, modules?: BaseModules): Promise<PeftAdapter> {
  const { adapter } = await load(directory, modules)
  return adapter
}

/**
 * The weights of an admitted adapter in float32, read anew with all of {@link openPeft}'s checks.
 * @throws AdapterError when its files are no longer those with the digest that was admitted.
 */
export async function readLora(
  admitted: Pick<PeftAdapter, 'directory' | 'digest'>,
  modules?: BaseModules,
): Promise<ReadonlyMap<string, LoraWeights>> {
  const { adapter, weights } = await load(admitted.directory, modules)
  if (adapter.digest !== admitted.digest) {
    throw fail(`${adapter.directory}: changed on disk: its digest is ${adapter.digest}, expected ${admitted.digest}`)
  }
  const float32 = (tensor: TensorInfo): Float32Array =>
    toFloat32(weights.subarray(tensor.offset, tensor.offset + tensor.length), floatDtype(tensor))
  return new Map(
    [...adapter.modules].map(([name, { rank, scale, a, b }]) => [name, { rank, scale, a: float32(a), b: float32(b) }]),
  )
}

async function load(
  directory: string,
  modules: BaseModules | undefined,
): Promise<{ readonly adapter: PeftAdapter; readonly weights: Uint8Array<ArrayBuffer> }> {
  const config = await readWhole(directory, CONFIG_FILE, MAX_CONFIG_BYTES)
  const weights = await readWhole(directory, WEIGHTS_FILE, MAX_WEIGHTS_BYTES)
  const configFile = join(directory, CONFIG_FILE)
  const weightsFile = join(directory, WEIGHTS_FILE)
  const options = parsePeftConfig(configFile, parseJsonObject(configFile, config, fail), fail)
  const tensors = parseSafetensorsHeader(weightsFile, headerOf(weightsFile, weights), weights.length, fail).tensors

  const pairs = pairUp(weightsFile, tensors)
  const names = modules === undefined ? [...pairs.keys()] : [...modules.keys()]
  const targets = targetedModules(configFile, options, names, fail)
  const scales = moduleScales(configFile, options, [...targets], fail)
  for (const name of targets)
    if (!pairs.has(name)) throw fail(`${weightsFile}: no tensors for "${name}", which target_modules selects`)
  const checked = new Map<string, PeftModule>()
  for (const [name, pair] of pairs) {
    const scale = scales.get(name)
    if (scale === undefined) throw fail(`${weightsFile}: ${notTargeted(name, modules)}`)
    checkShapes(weightsFile, name, pair, scale.rank, modules?.get(name))
    checked.set(name, { ...scale, ...pair })
  }
  if (checked.size === 0) throw fail(`${weightsFile}: no tensors, expected a LoRA`)
  await checkFinite(weightsFile, weights, tensors)
  const rank = Math.max(...[...checked.values()].map(module => module.rank))
  const digest = await digestOf(config, weights)
  return { adapter: { directory, digest, rank, modules: checked, bytes: weights.length }, weights }
}

async function readWhole(directory: string, name: string, most: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await readConfined(directory, name, most, fail)
  if (bytes !== undefined) return bytes
  const never = name === WEIGHTS_FILE ? ' (safetensors is the only format read, never pickle)' : ''
  throw fail(`${join(directory, name)}: not found${never}`)
}

/** The JSON between the eight bytes of its length and the data. */
function headerOf(file: string, bytes: Uint8Array<ArrayBuffer>): Uint8Array {
  const most = bytes.length - 8
  const length = most < 0 ? 0n : new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)
  if (most < 0 || length > BigInt(most))
    throw fail(`${file}: truncated: ${bytes.length} bytes, with a header of ${length}`)
  return bytes.subarray(8, 8 + Number(length))
}

type Pair = { readonly a: TensorInfo; readonly b: TensorInfo }

/** The tensors by module. Anything that is not one half of a LoRA is refused, not ignored: it would have an effect in PEFT. */
function pairUp(file: string, tensors: ReadonlyMap<string, TensorInfo>): ReadonlyMap<string, Pair> {
  const halves = new Map<string, { a?: TensorInfo; b?: TensorInfo }>()
  for (const [name, tensor] of tensors) {
    const [, module, half] = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/.exec(name) ?? []
    if (module === undefined) {
      throw fail(`${file}: tensor "${shown(name)}", expected base_model.model.<module>.lora_A.weight or lora_B.weight`)
    }
    floatDtype(tensor, `${file}: tensor "${shown(name)}"`)
    halves.set(module, { ...halves.get(module), [half === 'A' ? 'a' : 'b']: tensor })
  }
  const pairs = new Map<string, Pair>()
  for (const [module, { a, b }] of halves) {
    if (a === undefined || b === undefined) {
      throw fail(`${file}: "${shown(module)}" has no lora_${a === undefined ? 'A' : 'B'}, expected both halves`)
    }
    pairs.set(module, { a, b })
  }
  return pairs
}

function checkShapes(
  file: string,
  module: string,
  { a, b }: Pair,
  rank: number,
  base: { readonly in: number; readonly out: number } | undefined,
): void {
  check('lora_A', a, [rank, base?.in ?? 'in'])
  check('lora_B', b, [base?.out ?? 'out', rank])

  function check(half: string, { shape }: TensorInfo, wanted: readonly (number | string)[]): void {
    const fits = shape.every((size, axis) => (typeof wanted[axis] === 'number' ? size === wanted[axis] : size > 0))
    if (fits && shape.length === wanted.length) return
    throw fail(
      `${file}: ${half} of "${shown(module)}" has shape [${shape.join(', ')}], expected [${wanted.join(', ')}]`,
    )
  }
}

function notTargeted(module: string, modules: BaseModules | undefined): string {
  if (modules !== undefined && !modules.has(module)) return `"${shown(module)}" is no linear module of the base model`
  return `tensors for "${shown(module)}", which target_modules does not select`
}

function floatDtype({ dtype }: TensorInfo, what = 'tensor'): FloatDtype {
  if (isFloatDtype(dtype)) return dtype
  throw fail(`${what} has dtype ${dtype}, expected F32, F16 or BF16`)
}

/** Bits of the exponent: all of them set is an infinity or no number. */
const EXPONENT = { F32: 0x7f800000, F16: 0x7c00, BF16: 0x7f80 } as const

async function checkFinite(
  file: string,
  bytes: Uint8Array<ArrayBuffer>,
  tensors: ReadonlyMap<string, TensorInfo>,
): Promise<void> {
  let sinceTurn = 0
  for (const [name, tensor] of tensors) {
    const dtype = floatDtype(tensor)
    const size = dtype === 'F32' ? 4 : 2
    // A view must begin at a multiple of its element's size, and an unpadded header leaves the data anywhere.
    const { buffer, byteOffset } =
      tensor.offset % size === 0
        ? bytes.subarray(tensor.offset)
        : bytes.slice(tensor.offset, tensor.offset + tensor.length)
    const count = tensor.length / size
    const values = size === 4 ? new Uint32Array(buffer, byteOffset, count) : new Uint16Array(buffer, byteOffset, count)
    const mask = EXPONENT[dtype]
    for (let index = 0; index < count; index += 1) {
      if (((values[index] ?? 0) & mask) === mask) {
        throw fail(`${file}: tensor "${shown(name)}" has a value at ${index} that is not finite`)
      }
    }
    sinceTurn += tensor.length
    if (sinceTurn < SLICE_BYTES) continue
    sinceTurn = 0
    await setImmediate()
  }
}

async function digestOf(...files: readonly Uint8Array[]): Promise<Digest> {
  const hash = createHash('sha256')
  for (const bytes of files) {
    for (let start = 0; start < bytes.length; start += SLICE_BYTES) {
      hash.update(bytes.subarray(start, start + SLICE_BYTES))
      await setImmediate()
    }
  }
  return `sha256:${hash.digest('hex')}`
}
