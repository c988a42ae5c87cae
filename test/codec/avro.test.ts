import assert from 'node:assert/strict'
import { test } from 'node:test'
import { avro } from '../../src/codec/avro.ts'
import { SchemaError } from '../../src/errors.ts'
import type { Schema } from '../../src/ports.ts'
import { codecContract } from '../contracts/codec.ts'

codecContract('avro', avro)

function schemaOf<T>(type: unknown): Schema<T> {
  return { name: 'Value', avro: { type: 'record', name: 'Value', fields: [{ name: 'value', type }] } }
}

function decode(type: unknown, bytes: readonly number[]): Promise<unknown> {
  return avro()('in', schemaOf(type)).decode(Uint8Array.from(bytes))
}

/** A count or length, zigzag. */
function varint(value: bigint): number[] {
  const bytes: number[] = []
  for (let rest = BigInt.asUintN(64, value < 0n ? -2n * value - 1n : 2n * value); ; rest >>= 7n) {
    if (rest < 0x80n) return [...bytes, Number(rest)]
    bytes.push(Number(rest & 0x7fn) | 0x80)
  }
}

const hostile: readonly (readonly [what: string, type: unknown, bytes: readonly number[], message: RegExp])[] = [
  [
    'an array of a billion items',
    { type: 'array', items: 'string' },
    varint(1_000_000_000n),
    /Value\.value: 1000000000 items announced, expected at most the 0 bytes/,
  ],
  ['an array of a billion nulls', { type: 'array', items: 'null' }, varint(1_000_000_000n), /items announced/],
  [
    'a block of minus a billion',
    { type: 'array', items: 'int' },
    [...varint(-1_000_000_000n), 2, 2],
    /items announced/,
  ],
  ['a map of a billion entries', { type: 'map', values: 'int' }, varint(1_000_000_000n), /items announced/],
  [
    'a string of a gigabyte',
    'string',
    varint(2n ** 30n),
    /1073741824 bytes announced, expected at most the 0 that are left/,
  ],
  ['a string of minus one byte', 'string', varint(-1n), /-1 bytes announced/],
  ['a string that is not UTF-8', 'string', [2, 0xff], /not UTF-8/],
  ['an int beyond 32 bits', 'int', varint(2n ** 31n), /2147483648, expected -2147483648 to 2147483647/],
  ['a long beyond 2^53', 'long', varint(2n ** 53n), /beyond 2\^53/],
  ['a long of eleven bytes', 'long', Array(11).fill(0xff), /more than 10 bytes/],
  ['a branch that is not there', ['null', 'int'], varint(2n), /2, expected 0 to 1/],
  ['a symbol that is not there', { type: 'enum', name: 'E', symbols: ['A'] }, varint(1n), /1, expected 0 to 0/],
  ['bytes after the end', 'boolean', [1, 1], /1 bytes too many/],
  ['nothing', 'double', [], /8 bytes announced, expected at most the 0/],
]

for (const [what, type, bytes, expected] of hostile)
  test(`avro: ${what} is refused before anything is allocated`, async () => {
    await assert.rejects(decode(type, bytes), (error: unknown) => {
      assert.ok(error instanceof SchemaError)
      assert.match(error.message, expected)
      return true
    })
  })

test('avro: the largest safe integers come and go, and larger ones do not', async () => {
  const serde = avro()('in', schemaOf<{ value: number }>('long'))
  for (const value of [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, -(2 ** 52) - 1, 0, -1])
    assert.deepEqual(await serde.decode(await serde.encode({ value })), { value })
  for (const value of [2n ** 53n, -(2n ** 53n), -(2n ** 63n)])
    await assert.rejects(serde.decode(Uint8Array.from(varint(value))), SchemaError)
})

test('avro: a schema that refers to itself cannot exhaust the stack', async () => {
  const list = {
    type: 'record',
    name: 'List',
    fields: [{ name: 'next', type: ['null', 'List'], default: null }],
  }
  type List = { readonly next?: List }
  const serde = avro()('in', { name: 'List', avro: list } satisfies Schema<List>)
  let value: List = {}
  for (let depth = 1; depth < 64; depth++) value = { next: value }
  assert.deepEqual(await serde.decode(await serde.encode(value)), value)
  await assert.rejects(serde.decode(await serde.encode({ next: value })), /nested deeper than 64/)
})

test('avro: fields that the schema does not have are not written', async () => {
  const serde = avro()('in', schemaOf<{ value: number; more?: string }>('int'))
  assert.deepEqual(await serde.decode(await serde.encode({ value: 1, more: 'x' })), { value: 1 })
})
