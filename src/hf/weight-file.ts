import { open, stat, type FileHandle } from 'node:fs/promises'
import type { Fail } from './json.ts'

/** Node reads at most 2 GiB in one call. */
const READ_BYTES = 256 * 1024 * 1024

/** Large enough to be read at the speed of the disk. */
const PIECE_BYTES = 4 * 1024 * 1024

/**
 * Runs `work` with the file open for reading, and closes it.
 * @throws what `fail` makes when there is no such file.
 */
export async function withFile<T>(
  path: string,
  fail: Fail,
  work: (file: FileHandle, size: number) => Promise<T>,
): Promise<T> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw fail(`${path}: cannot be opened (${errorCode(cause)})`, { cause })
  })
  try {
    const found = await file.stat()
    if (!found.isFile()) throw fail(`${path}: is not a file`)
    return await work(file, found.size)
  } finally {
    await file.close()
  }
}

/**
 * Exactly `length` bytes from `offset` on, in memory of their own.
 * @throws what `fail` makes when they cannot be read or the file ends before; `name` stands for the file.
 */
export async function readBytes(
  file: FileHandle,
  name: string,
  { offset, length }: { readonly offset: number; readonly length: number },
  fail: Fail,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer)
  await fill(bytes, file, name, offset, fail)
  return bytes
}

/**
 * Shows `use` a file of `size` bytes, a piece after the other, all in one buffer, so that a large file leaves nothing behind: a
 * piece is overwritten by the next.
 * @throws what `fail` makes when it cannot be read or has become shorter; `name` stands for the file.
 */
export async function eachPiece(
  file: FileHandle,
  name: string,
  size: number,
  fail: Fail,
  use: (piece: Uint8Array) => void,
): Promise<void> {
  const buffer = new Uint8Array(Buffer.allocUnsafeSlow(Math.min(size, PIECE_BYTES)).buffer)
  for (let offset = 0; offset < size; offset += buffer.length) {
    const piece = buffer.subarray(0, size - offset)
    await fill(piece, file, name, offset, fail)
    use(piece)
  }
}

/** Fills `bytes` with what the file has from `start` on. */
async function fill(bytes: Uint8Array, file: FileHandle, name: string, start: number, fail: Fail): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const wanted = Math.min(bytes.length - done, READ_BYTES)
    const { bytesRead } = await file.read(bytes, done, wanted, start + done).catch((cause: unknown) => {
      throw fail(`${name}: cannot be read (${errorCode(cause)})`, { cause })
    })
    if (bytesRead === 0) throw fail(`${name}: ends at byte ${start + done}, expected ${start + bytes.length} bytes`)
    done += bytesRead
  }
}

/**
 * The whole file, or `undefined` when there is none.
 * @throws what `fail` makes when it is larger than `most` bytes or cannot be read.
 */
export async function readWhole(path: string, most: number, fail: Fail): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const there = await stat(path).catch(() => undefined)
  if (there === undefined) return undefined
  return await withFile(path, fail, async (file, size) => {
    if (size > most) throw fail(`${path}: ${size} bytes, expected at most ${most}`)
    return await readBytes(file, path, { offset: 0, length: size }, fail)
  })
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
