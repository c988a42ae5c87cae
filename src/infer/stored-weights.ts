import { randomUUID } from 'node:crypto'
import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { ConfigError, ModelError } from '../errors.ts'
import { readFloat32, type Model, type TensorRef } from '../hf/model.ts'
import { readSafetensorsHeader, type TensorInfo } from '../hf/safetensors.ts'
import type { Digest } from '../lora.ts'
import type { ElementType } from '../onnx/element-types.ts'
import { BLOCK, quantise, scalesOf } from './quantise.ts'
import type { StoredTensor, StoredWeights } from './weights.ts'

/** How a base model's linears are computed. */
export type Precision = 'float32' | 'int8'

export type StoreOptions = {
  readonly precision: Precision
  /** Where converted weights are kept between runs. */
  readonly cache: string
  /** The model's digest, by which they are kept. */
  readonly digest: Digest
  /** Told of each tensor that is converted. */
  readonly onProgress?: (done: number, total: number) => void
}

/**
 * Weights as a session takes them, by reference: a model's own safetensors files at float32, else a file in the cache,
 * written once a model and precision. At int8 the two-dimensional weights are quantised, the others stay float32; q, k and v
 * of a layer lie side by side, so that they can be taken as one matrix (weights.ts).
 * @throws ConfigError when the cache cannot be written.
 */
export async function storeWeights(model: Model, options: StoreOptions): Promise<StoredWeights> {
  if (options.precision === 'float32' && model.format === 'safetensors') return ownFiles(model)
  const name = `${options.digest.slice('sha256:'.length, 'sha256:'.length + DIGEST_SHOWN)}.${options.precision}.v${FORMAT}.safetensors`
  const path = join(options.cache, name)
  const refs = [...model.tensors.values()]
  const pieces = refs.flatMap(ref => piecesOf(ref, options.precision))
  const header = await readSafetensorsHeader(path, message => new ModelError(message)).catch(() => null)
  const found = header !== null && holds(header.tensors, pieces) ? header : null
  if (found === null) await writeConverted(path, refs, options)
  const { tensors } = found ?? (await readSafetensorsHeader(path, message => new ModelError(message)))
  return {
    folder: options.cache,
    tensors: new Map([...tensors].map(([key, info]) => [key, storedTensor(name, info)])),
  }
}

/** Raised whenever the same model would be written otherwise. */
const FORMAT = 2

/** 64 bits of the digest name a file. */
const DIGEST_SHOWN = 16

/** The header is padded to a multiple of this, so that weights lie where vector instructions like them. */
const ALIGNMENT = 64

const elementTypes: Readonly<Record<string, ElementType>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  U8: 'uint8',
}

function storedTensor(
  location: string,
  { dtype, shape, offset, length }: Pick<TensorInfo, 'shape' | 'offset' | 'length'> & { readonly dtype: string },
): StoredTensor {
  const type = elementTypes[dtype]
  if (type === undefined)
    throw new ModelError(`${location}: a tensor of ${dtype}, expected ${Object.keys(elementTypes).join(', ')}`)
  return { type, shape, location, offset, length }
}

function ownFiles(model: Model): StoredWeights {
  const refs = [...model.tensors.values()]
  const folder = commonFolder(refs.map(({ file }) => dirname(file)))
  return { folder, tensors: new Map(refs.map(ref => [ref.name, storedTensor(relative(folder, ref.file), ref)])) }
}

/** ONNX Runtime reads weights below one folder only. */
function commonFolder(folders: readonly string[]): string {
  return folders.reduce((common, folder) => {
    let parent = common
    while (relative(parent, folder).startsWith('..')) parent = dirname(parent)
    return parent
  })
}

type Piece = {
  readonly name: string
  readonly dtype: 'F32' | 'U8'
  readonly shape: readonly number[]
  readonly bytes: number
}

/** Whether a file's tensors are these, and no others. */
function holds(tensors: ReadonlyMap<string, TensorInfo>, pieces: readonly Piece[]): boolean {
  const same = ({ name, dtype, shape }: Piece): boolean => {
    const info = tensors.get(name)
    return info?.dtype === dtype && info.shape.join() === shape.join()
  }
  return tensors.size === pieces.length && pieces.every(same)
}

async function writeConverted(path: string, refs: readonly TensorRef[], options: StoreOptions): Promise<void> {
  // Not even two engines of one process may write to one file.
  const temporary = `${path}.${randomUUID()}`
  try {
    await mkdir(dirname(path), { recursive: true })
    const file = await open(temporary, 'w')
    try {
      await writePieces(file, refs, options)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    if (error instanceof ModelError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new ConfigError(`${path}: converted weights cannot be written: ${reason}`, { cause: error })
  }
}

async function writePieces(
  file: FileHandle,
  refs: readonly TensorRef[],
  { precision, onProgress }: StoreOptions,
): Promise<void> {
  const groups = productsOf(refs)
  const pieces = groups.flatMap(group => {
    const each = group.map(ref => piecesOf(ref, precision))
    return [...each.flatMap(([values]) => values ?? []), ...each.flatMap(([, scales]) => scales ?? [])]
  })
  let offset = 0
  const entries = pieces.map(({ name, dtype, shape, bytes }) => {
    const start = offset
    offset += bytes
    return [name, { dtype, shape, data_offsets: [start, offset] }] as const
  })
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)))
  const header = Buffer.alloc(Math.ceil(json.length / ALIGNMENT) * ALIGNMENT, ' ')
  json.copy(header)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  await file.writeFile(length)
  await file.writeFile(header)
  let done = 0
  for (const group of groups) {
    const scales: Float32Array[] = []
    for (const ref of group) {
      const values = await readFloat32(ref)
      const quantised = piecesOf(ref, precision).length === 2 ? quantise(values, ref.shape[1] ?? 1) : null
      await file.writeFile(bytesOf(quantised?.values ?? values))
      if (quantised !== null) scales.push(quantised.scales)
      onProgress?.((done += 1), refs.length)
    }
    for (const array of scales) await file.writeFile(bytesOf(array))
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Uint8Array | Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)

/** What one product takes, q, k and v of a layer, next to each other in this order; every other tensor alone. */
function productsOf(refs: readonly TensorRef[]): readonly (readonly TensorRef[])[] {
  const order = ['q_proj', 'k_proj', 'v_proj']
  const place = ({ name }: TensorRef): number => order.findIndex(kind => name.endsWith(`.${kind}.weight`))
  const groups = new Map<string, TensorRef[]>()
  for (const ref of refs) {
    const kind = order[place(ref)]
    const key = kind === undefined ? ref.name : ref.name.slice(0, -`${kind}.weight`.length)
    groups.set(key, [...(groups.get(key) ?? []), ref])
  }
  return [...groups.values()].map(group => group.toSorted((one, other) => place(one) - place(other)))
}

/** A weight as it is, or its quantised values with their scales. */
function piecesOf({ name, shape }: TensorRef, precision: Precision): readonly Piece[] {
  const [rows = 1, columns] = shape
  if (precision === 'float32' || columns === undefined) {
    return [{ name, dtype: 'F32', shape, bytes: 4 * shape.reduce((product, size) => product * size, 1) }]
  }
  const blocks = Math.ceil(columns / BLOCK)
  return [
    { name, dtype: 'U8', shape: [rows, blocks * BLOCK], bytes: rows * blocks * BLOCK },
    { name: scalesOf(name), dtype: 'F32', shape: [rows, blocks], bytes: 4 * rows * blocks },
  ]
}
