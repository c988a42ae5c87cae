import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { ModelError } from '../../src/errors.ts'
import { eachPiece, withFile } from '../../src/hf/weight-file.ts'

const fail = (message: string, options?: { cause?: unknown }) => new ModelError(message, options)
const folder = await mkdtemp(join(tmpdir(), 'weight-file-'))
after(() => rm(folder, { recursive: true }))

/** The pieces that a file of these bytes is shown in, when it is said to have `size`. */
async function pieces(bytes: Uint8Array, size = bytes.length): Promise<readonly Buffer[]> {
  const path = join(folder, 'file')
  await writeFile(path, bytes)
  const seen: Buffer[] = []
  await withFile(path, fail, file => eachPiece(file, 'file', size, fail, piece => seen.push(Buffer.from(piece))))
  return seen
}

test('a file is shown in pieces that are the whole together', async () => {
  const MIB = 1024 * 1024
  for (const size of [0, 1, 4 * MIB, 4 * MIB + 1, 9 * MIB]) {
    const bytes = Uint8Array.from({ length: size }, (_, place) => place % 251)
    const seen = await pieces(bytes)
    assert.ok(Buffer.concat(seen).equals(bytes), `${size} bytes`)
    assert.ok(seen.every(piece => piece.length <= 4 * MIB))
  }
})

test('a file that has become shorter says where it ends', async () => {
  await assert.rejects(pieces(new Uint8Array(5), 9), {
    code: 'MODEL_INVALID',
    message: 'file: ends at byte 5, expected 9 bytes',
  })
})
