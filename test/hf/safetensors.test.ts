import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { AdapterError, ModelError } from '../../src/errors.ts'
import { parseSafetensorsHeader, readSafetensorsHeader, readTensor, toFloat32 } from '../../src/hf/safetensors.ts'

const golden = join(import.meta.dirname, '../fixtures/golden')
const fail = (message: string, options?: { cause?: unknown }) => new AdapterError(message, options)

/** A header of these members over `data` bytes of data. */
function parse(members: unknown, data: number) {
  const header = Buffer.from(typeof members === 'string' ? members : JSON.stringify(members))
  return parseSafetensorsHeader('x.safetensors', header, 8 + header.length + data, fail)
}

const f32 = (shape: unknown, from: number, to: number) => ({ dtype: 'F32', shape, data_offsets: [from, to] })

test('a header tells where each tensor lies, counted from the start of the file', async () => {
  const path = join(golden, 'tiny-llama/model.safetensors')
  const file = await readSafetensorsHeader(path, fail)
  assert.equal(file.size, 507_232)
  assert.equal(file.tensors.size, 21)
  assert.deepEqual([...file.metadata], [['format', 'pt']])
  assert.deepEqual(file.tensors.get('model.norm.weight'), { dtype: 'F32', shape: [64], offset: 506_976, length: 256 })
})

test('a tensor is read as its bytes, from a path or an open file', async () => {
  const path = join(golden, 'adapters/a_r4/adapter_model.safetensors')
  const { tensors } = await readSafetensorsHeader(path, fail)
  for (const info of tensors.values()) {
    const values = toFloat32(await readTensor(path, info, fail), 'F32')
    assert.equal(
      values.length,
      info.shape.reduce((a, b) => a * b),
    )
    assert.ok(values.every(value => Number.isFinite(value) && Math.abs(value) < 10))
    assert.ok(values.some(value => value !== 0))
  }
})

test('metadata, scalars, empty tensors and padding with spaces are sound', () => {
  const file = parse(
    `{"__metadata__":{"a":"b"},"s":${JSON.stringify(f32([], 0, 4))},"e":${JSON.stringify(f32([0, 7], 4, 4))}}   `,
    4,
  )
  assert.deepEqual([...file.tensors.keys()], ['s', 'e'])
  assert.deepEqual(parse({}, 0).tensors.size, 0)
})

const refused: [what: string, members: unknown, data: number, message: RegExp][] = [
  ['garbage', 'not json', 0, /x\.safetensors: header does not begin with "\{"/],
  ['truncated JSON', '{"a":', 0, /header is not JSON/],
  ['no object', '[1]', 0, /header does not begin/],
  ['a tensor that is no object', { a: 1 }, 0, /tensor "a" is 1, expected an object/],
  [
    'an unknown dtype',
    { a: { ...f32([1], 0, 4), dtype: 'Q4' } },
    4,
    /tensor "a": dtype is Q4, expected one of F64 F32/,
  ],
  ['a dtype from the prototype', { a: { ...f32([1], 0, 4), dtype: 'toString' } }, 4, /dtype is toString/],
  ['a negative size', { a: f32([-1], 0, 4) }, 4, /shape is \[-1\]/],
  ['a fractional size', { a: f32([0.5], 0, 2) }, 2, /shape is \[0\.5\]/],
  ['nine dimensions', { a: f32([1, 1, 1, 1, 1, 1, 1, 1, 1], 0, 4) }, 4, /expected at most 8/],
  ['a shape product that overflows', { a: f32([2 ** 31, 2 ** 31, 2 ** 31], 0, 4) }, 4, /takes .* bytes, but has 4/],
  ['a shape that needs other bytes', { a: f32([3], 0, 8) }, 8, /F32 of shape \[3\] takes 12 bytes, but has 8/],
  ['offsets backwards', { a: f32([1], 4, 0) }, 4, /bytes 4 to 0/],
  ['offsets past the end', { a: f32([2], 0, 8) }, 4, /bytes 0 to 8, but the file has 4/],
  ['three offsets', { a: { ...f32([1], 0, 4), data_offsets: [0, 4, 4] } }, 4, /data_offsets is \[0, 4, 4\]/],
  ['offsets that are no integers', { a: { ...f32([1], 0, 4), data_offsets: [0, '4'] } }, 4, /data_offsets is/],
  ['an overlap', { a: f32([2], 0, 8), b: f32([2], 4, 12) }, 12, /tensor "b" overlaps/],
  ['two tensors in one place', { a: f32([1], 0, 4), b: f32([1], 0, 4) }, 4, /tensor "b" overlaps/],
  ['a gap', { a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12, /tensor "b" leaves a gap/],
  ['bytes at the end', { a: f32([1], 0, 4) }, 6, /2 bytes after the last tensor/],
  ['metadata that is no object', { __metadata__: [1] }, 0, /__metadata__ is \[1\]/],
  ['metadata that is no string', { __metadata__: { a: 1 } }, 0, /__metadata__\.a is not a string/],
  [
    'a name twice',
    `{"a":${JSON.stringify(f32([1], 0, 4))},"\\u0061":${JSON.stringify(f32([1], 0, 4))}}`,
    4,
    /tensor "a" is there more/,
  ],
  ['a very long name', { ['a'.repeat(5000)]: f32([1], 0, 4) }, 4, /a name of 5000 characters/],
]

for (const [what, members, data, message] of refused) {
  test(`refused: ${what}`, () => {
    assert.throws(() => parse(members, data), { code: 'ADAPTER_INVALID', message })
  })
}

test('invalid UTF-8 in a header is refused', () => {
  const header = Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])
  assert.throws(() => parseSafetensorsHeader('x', header, 100, fail), /not JSON in UTF-8/)
})

test('deep nesting and one enormous string are refused without harm', () => {
  assert.throws(() => parse(`{"a":${'['.repeat(1_000_000)}`, 0), AdapterError)
  assert.throws(() => parse(`{"a":${'['.repeat(500_000)}${']'.repeat(500_000)}}`, 0), AdapterError)
  assert.throws(() => parse(`{"${'\\n'.repeat(2_000_000)}":1}`, 0), AdapterError)
})

test('files that are too short, lie about their header, or are no files are refused by path', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'lorastream-'))
  t.after(() => rm(directory, { recursive: true }))
  const path = join(directory, 'x.safetensors')
  await assert.rejects(readSafetensorsHeader(path, fail), {
    code: 'ADAPTER_INVALID',
    message: `${path}: cannot be opened (ENOENT)`,
  })
  await assert.rejects(readSafetensorsHeader(directory, fail), /is not a file/)
  for (const bytes of [[], [1, 2, 3], [255, 255, 255, 255, 255, 255, 255, 255], [9, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d]]) {
    await writeFile(path, Uint8Array.from(bytes))
    await assert.rejects(readSafetensorsHeader(path, fail), AdapterError)
  }
  await writeFile(path, 'abc')
  await assert.rejects(readTensor(path, { offset: 0, length: 4 }, fail), /ends at byte 3, expected 4 bytes/)
})

test('float16 and bfloat16 widen exactly', () => {
  const halves = Uint16Array.of(0x0000, 0x8000, 0x3c00, 0xc000, 0x7bff, 0x0001, 0x0400, 0x7c00, 0xfc00, 0x3555)
  assert.deepEqual(
    [...toFloat32(new Uint8Array(halves.buffer), 'F16')],
    [0, -0, 1, -2, 65504, 2 ** -24, 2 ** -14, Infinity, -Infinity, 0.333251953125],
  )
  assert.ok(Number.isNaN(toFloat32(Uint8Array.of(1, 0x7e), 'F16')[0]))
  const upper = Uint16Array.of(0x3f80, 0xbf00, 0x7f80, 0x0001)
  assert.deepEqual([...toFloat32(new Uint8Array(upper.buffer), 'BF16')], [1, -0.5, Infinity, 2 ** -133])
})

test('values at an odd place in memory are read all the same', () => {
  const memory = new Uint8Array(9)
  memory.set(new Uint8Array(Float32Array.of(1.5, -2).buffer), 1)
  assert.deepEqual([...toFloat32(memory.subarray(1), 'F32')], [1.5, -2])
})

test('whatever the header holds, the answer is a checked file or the error that was asked for', () => {
  const leaf = fc.oneof(fc.integer(), fc.double(), fc.constantFrom('F32', 'BF16', 'X', null, 2 ** 53, -1))
  const entry = fc.record(
    {
      dtype: fc.oneof(fc.constantFrom('F32', 'F16', 'U8'), leaf),
      shape: fc.oneof(fc.array(fc.nat(4), { maxLength: 3 }), fc.array(leaf), leaf),
      data_offsets: fc.oneof(fc.tuple(fc.nat(16), fc.nat(16)), fc.array(leaf), leaf),
    },
    { requiredKeys: [] },
  )
  const header = fc.oneof(
    fc.uint8Array({ maxLength: 64 }).map(bytes => Buffer.from(bytes)),
    fc.dictionary(fc.string({ maxLength: 3 }), fc.oneof(entry, leaf)).map(value => Buffer.from(JSON.stringify(value))),
  )
  fc.assert(
    fc.property(header, fc.nat(16), (bytes, data) => {
      try {
        const file = parseSafetensorsHeader('x', bytes, 8 + bytes.length + data, asModelError)
        for (const info of file.tensors.values()) assert.ok(info.offset + info.length <= file.size)
      } catch (error) {
        if (!(error instanceof ModelError)) throw error
      }
    }),
    { numRuns: 2000 },
  )
})

test('a valid header with some bytes changed is a checked file or refused', () => {
  const valid = Buffer.from(
    JSON.stringify({ __metadata__: { format: 'pt' }, a: f32([2, 3], 0, 24), b: f32([1], 24, 28) }),
  )
  const change = fc.tuple(fc.nat(valid.length - 1), fc.integer({ min: 32, max: 255 }))
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), changes => {
      const bytes = Uint8Array.from(valid)
      for (const [at, byte] of changes) bytes[at] = byte
      try {
        parseSafetensorsHeader('x', bytes, 8 + bytes.length + 28, asModelError)
      } catch (error) {
        if (!(error instanceof ModelError)) throw error
      }
    }),
    { numRuns: 2000 },
  )
})

function asModelError(message: string, options?: { cause?: unknown }) {
  return new ModelError(message, options)
}
