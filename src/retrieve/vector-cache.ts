import { createHash, randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Digest } from '../lora.ts'

/** Everything that the vectors of an adapter's samples depend on. */
export type VectorOrigin = {
  readonly encoder: { readonly digest: Digest; readonly dimension: number }
  readonly prefix: string
  readonly samples: readonly string[]
}

/** Vectors that outlive the process, so that an unchanged adapter is encoded once. */
export type VectorCache = {
  /** The samples' vectors, side by side, or `undefined` when there are none that can be trusted. Never throws. */
  get(origin: VectorOrigin): Promise<Float32Array | undefined>
  /** Keeps them. Throws when they cannot be written; the vectors themselves are as good as before. */
  set(origin: VectorOrigin, vectors: Float32Array): Promise<void>
}

/** At 20 samples and 384 dimensions 250 MB, and more adapters than any pool that was heard of. */
const MAX_ENTRIES = 8192

/** The folder is counted once for so many new files: listing it takes longer than writing one. */
const WRITES_BETWEEN_COUNTS = 1024

/** A temporary file that is older was left by a process that died, in ms. */
const MAX_TEMPORARY_AGE = 3_600_000

const CHECKSUM_BYTES = 32

/** Raised when the meaning of a stored vector changes. */
const VERSION = 2

/**
 * One file an adapter in `directory`, named by the digest of its origin and written by renaming, so that several processes
 * may share it. A damaged file counts as none. The oldest go when there are too many.
 */
export function vectorCache(directory: string): VectorCache {
  let writes = 0
  return {
    async get(origin) {
      const bytes = await readFile(pathOf(directory, origin)).catch(() => undefined)
      return bytes === undefined ? undefined : unpack(bytes, origin.samples.length * origin.encoder.dimension)
    },
    async set(origin, vectors) {
      await mkdir(directory, { recursive: true })
      const path = pathOf(directory, origin)
      const temporary = `${path}.${randomUUID()}.tmp`
      try {
        await writeFile(temporary, pack(vectors))
        await rename(temporary, path)
      } catch (error) {
        await rm(temporary, { force: true })
        throw error
      }
      if (writes % WRITES_BETWEEN_COUNTS === 0) await prune(directory)
      writes += 1
    },
  }
}

function pathOf(directory: string, { encoder, prefix, samples }: VectorOrigin): string {
  const key = JSON.stringify([VERSION, encoder.digest, prefix, samples])
  return join(directory, `${createHash('sha256').update(key).digest('hex')}.vector`)
}

/** A checksum and the values: little-endian, as everything that Node runs on is. */
function pack(vectors: Float32Array): Uint8Array {
  const values = Buffer.from(vectors.buffer, vectors.byteOffset, vectors.byteLength)
  return Buffer.concat([createHash('sha256').update(values).digest(), values])
}

function unpack(bytes: Buffer, count: number): Float32Array | undefined {
  if (bytes.length !== CHECKSUM_BYTES + count * Float32Array.BYTES_PER_ELEMENT) return undefined
  const values = bytes.subarray(CHECKSUM_BYTES)
  if (!createHash('sha256').update(values).digest().equals(bytes.subarray(0, CHECKSUM_BYTES))) return undefined
  return new Float32Array(Uint8Array.from(values).buffer)
}

async function prune(directory: string): Promise<void> {
  const entries = await readdir(directory)
  const now = Date.now()
  for (const name of entries.filter(entry => entry.endsWith('.tmp'))) {
    const age = now - (await changedAt(join(directory, name)))
    if (age > MAX_TEMPORARY_AGE) await rm(join(directory, name), { force: true })
  }
  const vectors = entries.filter(entry => entry.endsWith('.vector'))
  if (vectors.length <= MAX_ENTRIES) return
  const aged: { readonly path: string; readonly time: number }[] = []
  for (const name of vectors) aged.push({ path: join(directory, name), time: await changedAt(join(directory, name)) })
  const surplus = aged.toSorted((one, other) => one.time - other.time).slice(0, vectors.length - MAX_ENTRIES)
  for (const { path } of surplus) await rm(path, { force: true })
}

/** When a file was written, in ms since 1970; now, for one that is gone. */
async function changedAt(path: string): Promise<number> {
  return await stat(path).then(
    found => found.mtimeMs,
    () => Date.now(),
  )
}
