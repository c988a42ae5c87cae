import { readSync } from 'node:fs'
import { ModelError, UnsupportedModelError } from '../errors.ts'
import { blockFormat, type BlockFormat } from './gguf-blocks.ts'
import { shown, type Fail } from './json.ts'
import { withFile } from './weight-file.ts'

/** What a key of a GGUF file says; numbers of every width are numbers, arrays are flat. */
export type GgufValue = string | number | boolean | readonly (string | number | boolean)[]

/** A tensor of a GGUF file: `shape` is row-major, `offset` counts bytes from the file's start. */
export type GgufTensor = {
  readonly format: BlockFormat
  readonly shape: readonly number[]
  readonly offset: number
  readonly length: number
}

/** A checked header: every tensor lies inside the file and none overlaps another. */
export type GgufFile = {
  readonly path: string
  readonly size: number
  readonly metadata: ReadonlyMap<string, GgufValue>
  readonly tensors: ReadonlyMap<string, GgufTensor>
}

/** Bytes by their place: a file, or memory in tests. `read` returns fewer than `length` only at the end. */
export type ByteSource = { readonly size: number; read(offset: number, length: number): Uint8Array }

/** Llama 3's header, with 128,000 tokens and 280,000 merges, has 8 MB. */
const MAX_HEADER_BYTES = 64 * 1024 * 1024

/** Files have some thirty keys, and a few hundred tensors; mixtures of experts some thousands. */
const MAX_KEYS = 4096
const MAX_TENSORS = 65_536

/** The longest string is the chat template, of some ten thousand characters. */
const MAX_STRING_BYTES = 1024 * 1024

/** The longest array is the list of merges: half a million for the largest vocabularies. */
const MAX_ARRAY_LENGTH = 4 * 1024 * 1024

/** What ggml has. */
const MAX_DIMENSIONS = 4

/** Alignment keeps rows on cache lines or pages; beyond that it is damage. */
const MAX_ALIGNMENT = 65_536

/** Few reads, and little read too much. */
const WINDOW_BYTES = 1024 * 1024

const fail: Fail = (message, options) => new ModelError(message, options)

/**
 * Reads and checks the header of a GGUF file, version 2 or 3; no weights are read.
 * @throws ModelError for damage, UnsupportedModelError for versions and tensor types that are not read here.
 */
export async function readGguf(path: string): Promise<GgufFile> {
  return await withFile(path, fail, async (file, size) => {
    const read = (offset: number, length: number): Uint8Array => {
      const bytes = Buffer.allocUnsafe(length)
      return bytes.subarray(0, readSync(file.fd, bytes, 0, length, offset))
    }
    return parseGguf(path, { size, read })
  })
}

/** As {@link readGguf}, from any source of bytes; `name` stands for the file in messages. */
export function parseGguf(name: string, source: ByteSource): GgufFile {
  const cursor = new Cursor(name, source)
  if (cursor.u32('magic') !== 0x46554747) throw new ModelError(`${name}: does not begin with "GGUF"`)
  const version = cursor.u32('version')
  if (version !== 2 && version !== 3) {
    throw new UnsupportedModelError(`${name}: GGUF version ${version}, expected 2 or 3 (little-endian)`)
  }
  const tensorCount = cursor.count('number of tensors', MAX_TENSORS)
  const keyCount = cursor.count('number of keys', MAX_KEYS)
  const metadata = readMetadata(name, cursor, keyCount)
  const alignment = metadata.get('general.alignment') ?? 32
  if (typeof alignment !== 'number' || alignment < 1 || alignment > MAX_ALIGNMENT || alignment % 8 !== 0) {
    throw new ModelError(`${name}: general.alignment is ${shown(alignment)}, expected a multiple of 8`)
  }
  const infos = readTensorInfos(name, cursor, tensorCount)
  const dataStart = Math.ceil(cursor.position / alignment) * alignment
  return {
    path: name,
    size: source.size,
    metadata,
    tensors: placeTensors(name, infos, source.size, dataStart, alignment),
  }
}

function readMetadata(name: string, cursor: Cursor, count: number): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>()
  for (let i = 0; i < count; i++) {
    const key = cursor.string(`key ${i}`)
    if (metadata.has(key)) throw new ModelError(`${name}: key "${shown(key)}" is there more than once`)
    metadata.set(key, cursor.value(`key "${shown(key)}"`))
  }
  return metadata
}

type Info = { readonly name: string; readonly format: BlockFormat; readonly shape: number[]; readonly offset: number }

function readTensorInfos(file: string, cursor: Cursor, count: number): Info[] {
  const names = new Set<string>()
  return Array.from({ length: count }, (_, i) => {
    const name = cursor.string(`name of tensor ${i}`)
    const where = `tensor "${shown(name)}"`
    if (names.has(name)) throw new ModelError(`${file}: ${where} is there more than once`)
    names.add(name)
    const dimensions = cursor.u32(where)
    if (dimensions < 1 || dimensions > MAX_DIMENSIONS) {
      throw new ModelError(`${file}: ${where}: ${dimensions} dimensions, expected 1 to ${MAX_DIMENSIONS}`)
    }
    // ggml counts dimensions from the innermost.
    const shape = Array.from({ length: dimensions }, () => cursor.count(where, Number.MAX_SAFE_INTEGER)).toReversed()
    const format = blockFormat(`${file}: ${where}`, cursor.u32(where))
    return { name, format, shape, offset: cursor.count(where, Number.MAX_SAFE_INTEGER) }
  })
}

/** Tensors follow each other, each at the next multiple of the alignment, as ggml writes and demands it. */
function placeTensors(
  file: string,
  infos: readonly Info[],
  fileSize: number,
  dataStart: number,
  alignment: number,
): Map<string, GgufTensor> {
  const tensors = new Map<string, GgufTensor>()
  let next = 0
  for (const { name, format, shape, offset } of infos.toSorted((a, b) => a.offset - b.offset)) {
    const where = `${file}: tensor "${shown(name)}"`
    const inner = shape.at(-1) ?? 0
    if (inner % format.elements !== 0) {
      throw new ModelError(`${where}: rows of ${inner}, expected a multiple of ${format.elements} for ${format.dtype}`)
    }
    // A product too large to be exact is larger than any file.
    const length = shape.reduce((product, size) => product * size, format.bytes / format.elements)
    if (length === 0) throw new ModelError(`${where}: is empty`)
    if (offset !== next) throw new ModelError(`${where}: starts at byte ${offset} of the data, expected ${next}`)
    if (dataStart + offset + length > fileSize) {
      throw new ModelError(`${where}: ${length} bytes from ${dataStart + offset}, but the file has ${fileSize}`)
    }
    tensors.set(name, { format, shape, offset: dataStart + offset, length })
    next = Math.ceil((offset + length) / alignment) * alignment
  }
  return tensors
}

const STRING = 8
const ARRAY = 9
const WIDE_INTEGERS = new Set([10, 11])

/** Reads a header front to back, a window of the file at a time. */
class Cursor {
  position = 0
  readonly #name: string
  readonly #source: ByteSource
  #window: Buffer = Buffer.alloc(0)
  #windowStart = 0

  constructor(name: string, source: ByteSource) {
    this.#name = name
    this.#source = source
  }

  u32(what: string): number {
    const at = this.#take(4, what)
    return this.#window.readUInt32LE(at)
  }

  /** A u64 that counts something. */
  count(what: string, most: number): number {
    const at = this.#take(8, what)
    const value = this.#window.readBigUInt64LE(at)
    if (value > BigInt(most)) throw new ModelError(`${this.#name}: ${what} says ${value}, expected at most ${most}`)
    return Number(value)
  }

  string(what: string): string {
    const length = this.count(what, MAX_STRING_BYTES)
    const start = this.#take(length, what)
    return this.#window.toString('utf8', start, start + length)
  }

  value(what: string): GgufValue {
    const type = this.u32(what)
    if (type !== ARRAY) return this.#scalar(type, what)
    const itemType = this.u32(what)
    if (itemType === ARRAY) throw new UnsupportedModelError(`${this.#name}: ${what} is an array of arrays`)
    const length = this.count(what, MAX_ARRAY_LENGTH)
    const items: (string | number | boolean)[] = []
    for (let i = 0; i < length; i++) items.push(this.#scalar(itemType, what))
    return items
  }

  #scalar(type: number, what: string): string | number | boolean {
    if (type === STRING) return this.string(what)
    const width = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8][type] ?? 0
    if (width === 0) throw new ModelError(`${this.#name}: ${what} has type ${type}, which GGUF does not have`)
    const at = this.#take(width, what)
    const value = readNumber(this.#window, at, type)
    const exact = typeof value === 'boolean' || Math.abs(value) <= Number.MAX_SAFE_INTEGER
    if (exact || !WIDE_INTEGERS.has(type)) return value
    throw new ModelError(`${this.#name}: ${what} is ${value}, more than can be counted`)
  }

  /** Steps over the next `length` bytes and tells their place in the window, which may be a new one. */
  #take(length: number, what: string): number {
    const start = this.position
    const end = start + length
    if (end > Math.min(this.#source.size, MAX_HEADER_BYTES)) {
      throw new ModelError(`${this.#name}: header ends within ${what}`)
    }
    if (end > this.#windowStart + this.#window.length) {
      const bytes = this.#source.read(start, Math.max(length, WINDOW_BYTES))
      if (bytes.length < length) throw new ModelError(`${this.#name}: header ends within ${what}`)
      this.#window = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
      this.#windowStart = start
    }
    this.position = end
    return start - this.#windowStart
  }
}

function readNumber(bytes: Buffer, at: number, type: number): number | boolean {
  switch (type) {
    case 0:
      return bytes.readUInt8(at)
    case 1:
      return bytes.readInt8(at)
    case 2:
      return bytes.readUInt16LE(at)
    case 3:
      return bytes.readInt16LE(at)
    case 4:
      return bytes.readUInt32LE(at)
    case 5:
      return bytes.readInt32LE(at)
    case 6:
      return bytes.readFloatLE(at)
    case 7:
      return bytes.readUInt8(at) !== 0
    case 10:
      return Number(bytes.readBigUInt64LE(at))
    case 11:
      return Number(bytes.readBigInt64LE(at))
    default:
      return bytes.readDoubleLE(at)
  }
}
