import type { FileHandle } from 'node:fs/promises'
import { float16Table } from './float16.ts'
import { isObject, parseJsonObject, shown, type Fail } from './json.ts'
import { readBytes, withFile } from './weight-file.ts'

/** Bytes of one element of each dtype that the format knows, but for those smaller than a byte. */
const ELEMENT_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const

export type SafetensorsDtype = keyof typeof ELEMENT_BYTES

/** The dtypes that weights may have here. */
export type FloatDtype = 'F32' | 'F16' | 'BF16'

/** Where a tensor lies in its file: `offset` counts bytes from the file's start, `length` is in bytes. */
export type TensorInfo = {
  readonly dtype: SafetensorsDtype
  readonly shape: readonly number[]
  readonly offset: number
  readonly length: number
}

/** A checked header: every tensor lies inside the file, none overlaps another, no byte is left over. */
export type SafetensorsFile = {
  readonly path: string
  readonly size: number
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly metadata: ReadonlyMap<string, string>
}

/** A mixture-of-experts checkpoint or an adapter for one has a few MB of header; JSON of 16 MB still parses quickly. */
const MAX_HEADER_BYTES = 16 * 1024 * 1024

/** A mixture-of-experts checkpoint has some twenty thousand tensors a file, an adapter for it twice as many. */
const MAX_TENSORS = 65_536

/** Weights have one or two; convolutions up to five. */
const MAX_DIMENSIONS = 8

/** Names are paths of modules; they come back in messages. */
const MAX_NAME_LENGTH = 1024

/** The header's length, little-endian, before the header. */
const LENGTH_BYTES = 8

/**
 * Reads and checks the header of a safetensors file; no weights are read.
 * @throws what `fail` makes, naming the file and the tensor.
 */
export async function readSafetensorsHeader(path: string, fail: Fail): Promise<SafetensorsFile> {
  return await withFile(path, fail, async (file, size) => {
    if (size < LENGTH_BYTES) throw fail(`${path}: ${size} bytes, too short for a safetensors header`)
    const prefix = await readBytes(file, path, { offset: 0, length: LENGTH_BYTES }, fail)
    const length = new DataView(prefix.buffer).getBigUint64(0, true)
    const most = Math.min(size - LENGTH_BYTES, MAX_HEADER_BYTES)
    if (length > BigInt(most)) throw fail(`${path}: header of ${length} bytes, expected at most ${most}`)
    const header = await readBytes(file, path, { offset: LENGTH_BYTES, length: Number(length) }, fail)
    return parseSafetensorsHeader(path, header, size, fail)
  })
}

/**
 * Checks a header: `header` is the JSON that follows the eight length bytes, `fileSize` the bytes of the whole file.
 * `name` stands for the file in messages. Format: https://github.com/huggingface/safetensors#format.
 * @throws what `fail` makes, and nothing else.
 */
export function parseSafetensorsHeader(
  name: string,
  header: Uint8Array,
  fileSize: number,
  fail: Fail,
): SafetensorsFile {
  if (header.length > MAX_HEADER_BYTES) {
    throw fail(`${name}: header of ${header.length} bytes, expected at most ${MAX_HEADER_BYTES}`)
  }
  if (header[0] !== BRACE) throw fail(`${name}: header does not begin with "{"`)
  const members = Object.entries(parseJsonObject(`${name}: header`, header, fail))
  if (members.length > MAX_TENSORS) throw fail(`${name}: ${members.length} tensors, expected at most ${MAX_TENSORS}`)
  const repeated = repeatedName(header)
  if (repeated !== undefined) throw fail(`${name}: tensor "${shown(repeated)}" is there more than once`)

  const dataStart = LENGTH_BYTES + header.length
  let metadata: ReadonlyMap<string, string> = new Map()
  const tensors = new Map<string, TensorInfo>()
  for (const [key, value] of members) {
    if (key === '__metadata__') metadata = parseMetadata(name, value, fail)
    else tensors.set(key, parseTensor(name, key, value, { dataStart, fileSize }, fail))
  }
  checkCoverage(name, tensors, { dataStart, fileSize }, fail)
  return { path: name, size: fileSize, tensors, metadata }
}

/**
 * The bytes of one tensor, in memory of their own.
 * @throws what `fail` makes when the file cannot be read or has become shorter.
 */
export async function readTensor(
  source: FileHandle | string,
  info: Pick<TensorInfo, 'offset' | 'length'>,
  fail: Fail,
): Promise<Uint8Array<ArrayBuffer>> {
  if (typeof source !== 'string') return await readBytes(source, 'the open file', info, fail)
  return await withFile(source, fail, file => readBytes(file, source, info, fail))
}

/** Whether {@link toFloat32} takes this dtype. */
export function isFloatDtype(dtype: string): dtype is FloatDtype {
  return dtype === 'F32' || dtype === 'F16' || dtype === 'BF16'
}

/** Little-endian floats widened to float32; F32 shares memory with `bytes` where alignment lets it. */
export function toFloat32(bytes: Uint8Array<ArrayBuffer>, dtype: FloatDtype): Float32Array<ArrayBuffer> {
  const size = ELEMENT_BYTES[dtype]
  if (bytes.length % size !== 0) throw new RangeError(`${bytes.length} bytes are no whole number of ${dtype} values`)
  const { buffer, byteOffset, length } = bytes.byteOffset % size === 0 ? bytes : bytes.slice()
  if (dtype === 'F32') return new Float32Array(buffer, byteOffset, length / size)
  const halves = new Uint16Array(buffer, byteOffset, length / size)
  return dtype === 'F16' ? widenF16(halves) : widenBF16(halves)
}

function widenF16(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const table = float16Table()
  const out = new Float32Array(halves.length)
  for (let i = 0; i < halves.length; i++) out[i] = table[halves[i] ?? 0] ?? 0
  return out
}

/** A bfloat16 is the upper half of the float32 of the same value. */
function widenBF16(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const out = new Uint32Array(halves.length)
  for (let i = 0; i < halves.length; i++) out[i] = (halves[i] ?? 0) << 16
  return new Float32Array(out.buffer)
}

const BRACE = 0x7b
const QUOTE = 0x22
const COLON = 0x3a
const BACKSLASH = 0x5c
const OPENING = new Set([0x5b, BRACE])
const CLOSING = new Set([0x5d, 0x7d])

/** The first top-level name that a valid JSON object has twice: `JSON.parse` would keep the last in silence. */
function repeatedName(json: Uint8Array): string | undefined {
  const seen = new Set<string>()
  let depth = 0
  let name: Uint8Array = json
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] ?? 0
    if (byte === QUOTE) {
      const start = at++
      while (json[at] !== QUOTE) at += json[at] === BACKSLASH ? 2 : 1
      if (depth === 1) name = json.subarray(start, at + 1)
    } else if (OPENING.has(byte)) depth++
    else if (CLOSING.has(byte)) depth--
    else if (byte === COLON && depth === 1) {
      const text = String(JSON.parse(new TextDecoder().decode(name)))
      if (seen.has(text)) return text
      seen.add(text)
    }
  }
  return undefined
}

function parseMetadata(name: string, value: unknown, fail: Fail): ReadonlyMap<string, string> {
  if (!isObject(value)) throw fail(`${name}: __metadata__ is ${shown(value)}, expected an object`)
  const metadata = new Map<string, string>()
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw fail(`${name}: __metadata__.${shown(key)} is not a string`)
    metadata.set(key, text)
  }
  return metadata
}

type Sizes = { readonly dataStart: number; readonly fileSize: number }

function parseTensor(file: string, name: string, value: unknown, sizes: Sizes, fail: Fail): TensorInfo {
  const where = `${file}: tensor "${shown(name)}"`
  if (name.length > MAX_NAME_LENGTH) {
    throw fail(`${where}: a name of ${name.length} characters, expected at most ${MAX_NAME_LENGTH}`)
  }
  if (!isObject(value)) throw fail(`${where} is ${shown(value)}, expected an object`)
  const { dtype, shape, data_offsets: offsets } = value
  if (typeof dtype !== 'string' || !isDtype(dtype)) {
    throw fail(`${where}: dtype is ${shown(dtype)}, expected one of ${Object.keys(ELEMENT_BYTES).join(' ')}`)
  }
  if (!isCounts(shape, MAX_DIMENSIONS)) {
    throw fail(`${where}: shape is ${shown(shape)}, expected at most ${MAX_DIMENSIONS} non-negative integers`)
  }
  if (!isCounts(offsets, 2) || offsets.length !== 2) {
    throw fail(`${where}: data_offsets is ${shown(offsets)}, expected two non-negative integers`)
  }
  const [start = 0, end = 0] = offsets
  const room = sizes.fileSize - sizes.dataStart
  if (start > end || end > room) throw fail(`${where}: bytes ${start} to ${end}, but the file has ${room} of data`)
  // A product too large to be exact is also larger than any file, so it cannot pass for the length.
  const length = shape.reduce((product, size) => product * size, ELEMENT_BYTES[dtype])
  if (length !== end - start) {
    throw fail(`${where}: ${dtype} of shape [${shape.join(', ')}] takes ${length} bytes, but has ${end - start}`)
  }
  return { dtype, shape, offset: sizes.dataStart + start, length }
}

/** The format allows neither holes nor overlaps, so that a file has one meaning and carries nothing else. */
function checkCoverage(file: string, tensors: ReadonlyMap<string, TensorInfo>, sizes: Sizes, fail: Fail): void {
  const ordered = [...tensors].toSorted(([, a], [, b]) => a.offset - b.offset || a.length - b.length)
  let end = sizes.dataStart
  for (const [name, { offset, length }] of ordered) {
    if (offset !== end) {
      const what = offset < end ? 'overlaps the tensor before it' : 'leaves a gap before it'
      throw fail(`${file}: tensor "${shown(name)}" ${what}: starts at byte ${offset}, expected ${end}`)
    }
    end = offset + length
  }
  if (end !== sizes.fileSize) throw fail(`${file}: ${sizes.fileSize - end} bytes after the last tensor belong to none`)
}

function isDtype(dtype: string): dtype is SafetensorsDtype {
  return Object.hasOwn(ELEMENT_BYTES, dtype)
}

function isCounts(value: unknown, most: number): value is number[] {
  return Array.isArray(value) && value.length <= most && value.every(item => Number.isSafeInteger(item) && item >= 0)
}
