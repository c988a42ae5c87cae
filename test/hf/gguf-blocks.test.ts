import assert from 'node:assert/strict'
import { test } from 'node:test'
import { widenQ4_1, widenQ8_0 } from '../../src/hf/gguf-blocks.ts'

/** 0.5 and −2 as float16. */
const HALF = [0x00, 0x38]
const MINUS_TWO = [0x00, 0xc0]

test('Q4_1: low nibbles are the first half of a block, high ones the second', () => {
  const nibbles = Array.from({ length: 16 }, (_, i) => i | ((15 - i) << 4))
  const bytes = Uint8Array.of(...HALF, ...MINUS_TWO, ...nibbles, ...MINUS_TWO, ...HALF, ...new Uint8Array(16))
  const first = [
    ...Array.from({ length: 16 }, (_, i) => 0.5 * i - 2),
    ...Array.from({ length: 16 }, (_, i) => 0.5 * (15 - i) - 2),
  ]
  assert.deepEqual([...widenQ4_1(bytes)], [...first, ...Array.from({ length: 32 }, () => 0.5)])
})

test('Q8_0: signed bytes times the scale', () => {
  const values = Array.from({ length: 32 }, (_, i) => i * 8 - 128)
  const bytes = Uint8Array.of(...HALF, ...Int8Array.from(values).map(value => value))
  assert.deepEqual(
    [...widenQ8_0(bytes)],
    values.map(value => value * 0.5),
  )
})

test('blocks are read from the middle of a buffer', () => {
  const bytes = Uint8Array.of(9, ...HALF, ...new Uint8Array(31), 2).subarray(1)
  assert.equal(widenQ8_0(bytes)[31], 1)
})
