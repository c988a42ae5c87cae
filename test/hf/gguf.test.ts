import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ModelError, UnsupportedModelError } from '../../src/errors.ts'
import { parseGguf, type GgufFile } from '../../src/hf/gguf.ts'
import { ggufBytes, u32, u64, type Tensor, type Value } from './gguf-writer.ts'

function parse(bytes: Uint8Array, size = bytes.length): GgufFile {
  const read = (offset: number, length: number) => bytes.subarray(offset, offset + length)
  return parseGguf('x.gguf', { size, read })
}

const f32 = (name: string, shape: readonly number[], more: Partial<Tensor> = {}): Tensor => {
  const elements = shape.reduce((product, size) => product * size, 1)
  return { name, type: 0, shape, data: new Uint8Array(elements * 4), ...more }
}

const keys: Record<string, Value> = {
  text: { string: 'Grüße' },
  count: { u32: 7 },
  ratio: { f32: 0.5 },
  large: { u64: 2n ** 40n },
  yes: { bool: true },
  names: { strings: ['a', '', 'ü'] },
  numbers: { i32s: [-1, 2] },
}

test('keys of every kind are read, and tensors with their place in the file', () => {
  const bytes = ggufBytes(keys, [f32('a', [3, 2]), f32('b', [5])])
  const file = parse(bytes)
  assert.deepEqual(Object.fromEntries(file.metadata), {
    text: 'Grüße',
    count: 7,
    ratio: 0.5,
    large: 2 ** 40,
    yes: true,
    names: ['a', '', 'ü'],
    numbers: [-1, 2],
  })
  const [a, b] = [file.tensors.get('a'), file.tensors.get('b')]
  assert.deepEqual([a?.shape, a?.length, b?.shape, b?.length], [[3, 2], 24, [5], 20])
  assert.equal(a?.offset, bytes.length - 64)
  assert.equal(b?.offset, bytes.length - 32)
})

test('the alignment that a file names is kept', () => {
  const bytes = ggufBytes({ 'general.alignment': { u32: 64 } }, [f32('a', [1]), f32('b', [1])], 64)
  assert.equal(parse(bytes).tensors.get('b')?.offset, bytes.length - 64)
})

test('a header larger than the reading window is read across windows', () => {
  const strings = Array.from({ length: 200_000 }, (_, i) => `token ${i}`)
  const file = parse(ggufBytes({ strings: { strings }, last: { u32: 1 } }, [f32('a', [1])]))
  assert.deepEqual(file.metadata.get('strings'), strings)
  assert.equal(file.metadata.get('last'), 1)
})

const header = (tensors: number | bigint, count: number | bigint, ...rest: Buffer[]): Buffer =>
  Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors), u64(count), ...rest])
const key = (type: number, ...rest: Buffer[]): Buffer => header(0, 1, u64(1), Buffer.from('k'), u32(type), ...rest)

const damaged: [what: string, bytes: Buffer, message: RegExp][] = [
  ['an empty file', Buffer.alloc(0), /x\.gguf: header ends within magic/],
  ['another kind of file', Buffer.from('PK\u0003\u0004and so on'), /does not begin with "GGUF"/],
  ['a header that ends', ggufBytes(keys, []).subarray(0, 90), /header ends within key/],
  ['more tensors than there can be', header(2n ** 60n, 0), /number of tensors says 1152921504606846976/],
  ['more keys than there can be', header(0, 10_000), /number of keys says 10000, expected at most 4096/],
  ['a string longer than the file', header(0, 1, u64(1000)), /header ends within key 0/],
  ['an enormous string', header(0, 1, u64(2n ** 63n)), /key 0 says 9223372036854775808, expected at most/],
  ['an enormous array', key(9, u32(0), u64(2n ** 40n)), /key "k" says 1099511627776/],
  ['an array longer than the file', key(9, u32(10), u64(1000)), /header ends within key "k"/],
  ['a type that is none', key(13), /key "k" has type 13/],
  [
    'a number that cannot be counted',
    key(10, u64(2n ** 60n)),
    /key "k" is 1152921504606847000, more than can be counted/,
  ],
  [
    'a key twice',
    Buffer.concat([header(0, 2), ...[1, 2].flatMap(n => [u64(1), Buffer.from('k'), u32(4), u32(n)])]),
    /key "k" is there more than once/,
  ],
  ['an odd alignment', ggufBytes({ 'general.alignment': { u32: 3 } }, []), /general\.alignment is 3/],
  ['an alignment that is text', ggufBytes({ 'general.alignment': { string: '32' } }, []), /general\.alignment is 32/],
  ['a tensor twice', ggufBytes({}, [f32('a', [1]), f32('a', [1])]), /tensor "a" is there more than once/],
  ['no dimensions', ggufBytes({}, [f32('a', [])]), /tensor "a": 0 dimensions, expected 1 to 4/],
  ['five dimensions', ggufBytes({}, [f32('a', [1, 1, 1, 1, 1])]), /tensor "a": 5 dimensions/],
  ['an empty tensor', ggufBytes({}, [f32('a', [0])]), /tensor "a": is empty/],
  [
    'rows of half a block',
    ggufBytes({}, [f32('a', [2, 16], { type: 8 })]),
    /rows of 16, expected a multiple of 32 for Q8_0/,
  ],
  [
    'a shape product that overflows',
    ggufBytes({}, [f32('a', [1], { shape: [2 ** 31, 2 ** 31, 2 ** 31] })]),
    /bytes from \d+, but the file has/,
  ],
  ['a dimension that overflows', ggufBytes({}, [f32('a', [1], { shape: [2 ** 60] })]), /tensor "a" says/],
  ['a tensor outside of the file', ggufBytes({}, [f32('a', [64], { data: new Uint8Array(32) })]), /256 bytes from/],
  [
    'an overlap',
    ggufBytes({}, [f32('a', [8]), f32('b', [8], { offset: 0 })]),
    /tensor "b": starts at byte 0 of the data, expected 32/,
  ],
  [
    'a gap',
    ggufBytes({}, [f32('a', [8]), f32('b', [8], { offset: 64 })]),
    /tensor "b": starts at byte 64 of the data, expected 32/,
  ],
  ['an offset off the alignment', ggufBytes({}, [f32('a', [4]), f32('b', [8], { offset: 16 })]), /expected 32/],
]
for (const [what, bytes, message] of damaged) {
  test(`refused: ${what}`, () => {
    assert.throws(() => parse(bytes), { name: 'ModelError', message })
  })
}

const unsupported: [what: string, bytes: Buffer, message: RegExp][] = [
  ['version 1', Buffer.concat([Buffer.from('GGUF'), u32(1), Buffer.alloc(16)]), /GGUF version 1, expected 2 or 3/],
  [
    'the other byte order',
    Buffer.concat([Buffer.from('GGUF'), u32(0x03000000), Buffer.alloc(16)]),
    /GGUF version 50331648/,
  ],
  ['arrays of arrays', key(9, u32(9), u64(1)), /key "k" is an array of arrays/],
  [
    'Q4_K',
    ggufBytes({}, [f32('a', [256], { type: 12 })]),
    /tensor "a": type is Q4_K, expected one of F32 F16 Q4_1 Q8_0 BF16/,
  ],
  ['an unknown type', ggufBytes({}, [f32('a', [256], { type: 99 })]), /tensor "a": type is 99/],
]
for (const [what, bytes, message] of unsupported) {
  test(`not supported: ${what}`, () => {
    assert.throws(() => parse(bytes), { name: 'UnsupportedModelError', message })
  })
}

test('a file that becomes shorter while it is read is refused', () => {
  const bytes = ggufBytes(keys, [f32('a', [1])])
  assert.throws(() => parse(bytes.subarray(0, 60), bytes.length), /header ends within/)
})

function harmless(bytes: Uint8Array): void {
  try {
    const file = parse(bytes)
    for (const { offset, length } of file.tensors.values()) assert.ok(offset + length <= file.size)
  } catch (error) {
    if (!(error instanceof ModelError) && !(error instanceof UnsupportedModelError)) throw error
  }
}

test('whatever follows the magic, the answer is a checked file or a model error', () => {
  const start = fc.constantFrom(Buffer.from('GGUF\u0003\0\0\0', 'latin1'), Buffer.alloc(0))
  const bytes = fc.tuple(start, fc.uint8Array({ maxLength: 200 })).map(both => Buffer.concat(both))
  fc.assert(fc.property(bytes, harmless), { numRuns: 2000 })
})

test('a valid file with some bytes changed, or cut, is a checked file or refused', () => {
  const valid = ggufBytes(keys, [f32('a', [3, 2]), f32('b', [32], { type: 8, data: new Uint8Array(34) })])
  const change = fc.tuple(fc.nat(valid.length - 1), fc.nat(255))
  fc.assert(
    fc.property(fc.array(change, { maxLength: 3 }), fc.nat(valid.length), (changes, length) => {
      const bytes = Uint8Array.from(valid)
      for (const [at, byte] of changes) bytes[at] = byte
      harmless(bytes)
      harmless(bytes.subarray(0, length))
    }),
    { numRuns: 2000 },
  )
})
