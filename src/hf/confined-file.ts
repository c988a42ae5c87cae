import { realpath, stat } from 'node:fs/promises'
import { join, sep } from 'node:path'
import type { Fail } from './json.ts'
import { readBytes, withFile } from './weight-file.ts'

/**
 * All bytes of a file that lies in `directory` itself, or `undefined` when there is none of that name. The directory may
 * be a link; a file that is a link out of it is refused, so that an untrusted directory cannot show other files.
 * @throws what `fail` makes when it is no plain file, larger than `most` bytes, or changes while it is read.
 */
export async function readConfined(
  directory: string,
  name: string,
  most: number,
  fail: Fail,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const path = join(directory, name)
  const real = await realpath(path).catch((cause: unknown) => {
    if (isMissing(cause)) return undefined
    throw fail(`${path}: cannot be opened`, { cause })
  })
  if (real === undefined) return undefined
  if (!real.startsWith((await realpath(directory)) + sep)) {
    throw fail(`${path}: a link out of the directory, which is not followed`)
  }
  // Asked before it is opened: opening a pipe would wait for its other end.
  if (!(await stat(real)).isFile()) throw fail(`${path}: not a file`)
  return await withFile(real, fail, async (file, size) => {
    if (size > most) throw fail(`${path}: ${size} bytes, expected at most ${most}`)
    const before = await file.stat()
    const bytes = await readBytes(file, path, { offset: 0, length: size }, fail)
    const after = await file.stat()
    if (after.size !== size || after.mtimeMs !== before.mtimeMs) throw fail(`${path}: changed while it was read`)
    return bytes
  })
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')
}
