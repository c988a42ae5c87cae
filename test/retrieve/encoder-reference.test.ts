import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isObject } from '../../src/hf/json.ts'
import { onnxEncoder } from '../../src/retrieve/onnx-encoder.ts'

const fixtures = fileURLToPath(new URL('../fixtures/encoder/', import.meta.url))
const miniLm = fileURLToPath(new URL('../../models/all-minilm-l6-v2', import.meta.url))

const DIMENSION = 384
/** Cosine distance. The two compute the same sums in another order, in float32. */
const TOLERANCE = 1e-9

type Row = { readonly kind: string; readonly text: string }

/** What test/fixtures/encoder/reference.py wrote: texts, and the vectors that sentence-transformers made of them. */
function reference(): { readonly rows: readonly Row[]; readonly vectors: readonly Float32Array[] } {
  const lines = readFileSync(join(fixtures, 'reference.jsonl'), 'utf8').trimEnd().split('\n')
  const rows = lines.map(line => {
    const row: unknown = JSON.parse(line)
    assert.ok(isObject(row) && typeof row['kind'] === 'string' && typeof row['text'] === 'string')
    return { kind: row['kind'], text: row['text'] }
  })
  const values = new Float32Array(Uint8Array.from(readFileSync(join(fixtures, 'reference.f32'))).buffer)
  assert.equal(values.length, rows.length * DIMENSION)
  return { rows, vectors: rows.map((_, index) => values.slice(index * DIMENSION, (index + 1) * DIMENSION)) }
}

/** 1 - cosine, in double precision. */
function distance(one: Float32Array, other: Float32Array): number {
  const dot = (a: Float32Array, b: Float32Array): number =>
    a.reduce((sum, value, index) => sum + value * (b[index] ?? NaN), 0)
  return 1 - dot(one, other) / Math.sqrt(dot(one, one) * dot(other, other))
}

test('the reference has 200 texts: long and empty ones, other scripts, emoji and control characters', () => {
  const { rows, vectors } = reference()
  assert.equal(new Set(rows.map(({ text }) => text)).size, 200)
  const kinds = new Set(rows.map(({ kind }) => kind))
  assert.deepEqual([...kinds].toSorted(), ['control', 'emoji', 'empty', 'long', 'plain', 'prompt', 'script', 'special'])
  assert.ok(rows.some(({ text }) => text === '') && rows.some(({ text }) => text.length > 5000))
  // Vectors of texts with nothing in common lie apart, so that an agreement below says something.
  const apart = vectors
    .slice(0, 20)
    .flatMap((one, index) => vectors.slice(index + 1, 20).map(two => distance(one, two)))
  assert.ok(Math.min(...apart) > 0.01, `the nearest two are ${Math.min(...apart)} apart`)
})

test(
  'vectors are those of sentence-transformers on 200 texts',
  { skip: !existsSync(miniLm) && 'no models/all-minilm-l6-v2: run models pull', timeout: 300_000 },
  async t => {
    const { rows, vectors } = reference()
    const encoder = await onnxEncoder(miniLm)
    t.after(() => encoder.close())
    const found = await encoder.encode(rows.map(({ text }) => text))
    const distances = found.map((vector, index) => distance(vector, vectors[index] ?? new Float32Array(0)))
    const worst = distances.reduce((most, value, index) => (value <= (distances[most] ?? 0) ? most : index), 0)
    const off = rows.flatMap(({ kind, text }, index) => {
      const value = distances[index] ?? NaN
      return value < TOLERANCE ? [] : [`${kind} ${JSON.stringify(text.slice(0, 60))} is off by ${value}`]
    })
    assert.deepEqual(off, [])
    t.diagnostic(`the farthest is off by ${distances[worst]?.toExponential(1)}: a text of kind ${rows[worst]?.kind}`)
  },
)
