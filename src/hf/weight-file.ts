import { open, stat, type FileHandle } from 'node:fs/promises'
import type { Fail } from './json.ts'

/** Node reads at most 2 GiB in one call. */
const READ_BYTES = 256 * 1024 * 1024

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
  range: { readonly offset: number; readonly length: number },
  fail: Fail,
): Promise<Uint8Array<ArrayBuffer>> {
  const { offset, length } = range
  const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer)
  for (let done = 0; done < length;) {
    const wanted = Math.min(length - done, READ_BYTES)
    const { bytesRead } = await file.read(bytes, done, wanted, offset + done).catch((cause: unknown) => {
      throw fail(`${name}: cannot be read (${errorCode(cause)})`, { cause })
    })
    if (bytesRead === 0) throw fail(`${name}: ends at byte ${offset + done}, expected ${offset + length} bytes`)
    done += bytesRead
  }
  return bytes
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
