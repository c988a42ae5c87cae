import avsc from 'avsc'
import { ConfigError, SchemaError } from '../errors.ts'
import type { Codec, Schema } from '../ports.ts'
import { Cursor, shapeOf, type Shape } from './avro-shape.ts'

/**
 * Plain Avro, one schema for writer and reader: no header, no schema id. Optional fields are absent, not null; fields
 * that the schema does not have are not written. A long that a number
 * cannot hold exactly (2^53 and beyond) is refused in both directions. Whatever bytes come, `decode` throws nothing but
 * SchemaError. Throws ConfigError for a schema that is none.
 */
export function avro(): Codec {
  return <T>(topic: string, schema: Schema<T>) => {
    const { type, shape } = compile(schema)
    return {
      encode: async (value: T) => {
        try {
          return type.toBuffer(value)
        } catch (error) {
          throw new SchemaError(`topic "${topic}": ${schema.name} cannot be written: ${reason(type, value, error)}`, {
            cause: error,
          })
        }
      },
      decode: async (bytes: Uint8Array) => {
        try {
          const cursor = new Cursor(bytes)
          shape.check(cursor, schema.name)
          if (cursor.left > 0) throw new SchemaError(`${schema.name}: ${cursor.left} bytes too many`)
          // avsc has read the bytes by this very schema, whose type the caller of Schema<T> has vouched for.
          // oxlint-disable-next-line typescript/no-unsafe-type-assertion
          return shape.plain(type.fromBuffer(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))) as T
        } catch (error) {
          throw new SchemaError(`topic "${topic}": ${messageOf(error)}`, { cause: error })
        }
      },
    }
  }
}

/** avsc's own long writes numbers below -2^52 wrong, the zigzag form losing its last bit in a float. */
// oxlint-disable-next-line eslint/no-underscore-dangle -- its documented name
const long = avsc.types.LongType.__with({
  toBuffer: (value: number) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(BigInt(value))
    return bytes
  },
  fromBuffer: (bytes: Buffer) => Number(bytes.readBigInt64LE()),
  isValid: Number.isSafeInteger,
  fromJSON: Number,
  toJSON: Number,
  compare: (one: number, other: number) => Math.sign(one - other),
})

function compile(schema: Schema<unknown>): { readonly type: avsc.Type; readonly shape: Shape } {
  try {
    // avsc validates the schema itself and throws when it is none.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    const type = avsc.Type.forSchema(schema.avro as avsc.Schema, { registry: { long } })
    return { type, shape: shapeOf(schema.avro) }
  } catch (error) {
    throw new ConfigError(`schema "${schema.name}" is not Avro: ${messageOf(error)}`, { cause: error })
  }
}

/** The first field that does not fit, for avsc's own message names the value alone. */
function reason(type: avsc.Type, value: unknown, error: unknown): string {
  let found: string | undefined
  type.isValid(value, {
    errorHook: (path, _, expected) => {
      found ??= `${path.join('.') || 'the value'} is not ${expected.typeName.startsWith('union') ? String(expected) : expected.typeName}`
    },
  })
  return found ?? messageOf(error)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
