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
    const write = avroWriter<T>(topic, schema)
    const read = avroReader<T>(topic, schema)
    return { encode: async (value: T) => write(value), decode: async (bytes: Uint8Array) => read(bytes) }
  }
}

/** Values to bytes, without a header. What it returns throws SchemaError; it throws ConfigError for a schema that is none. */
export function avroWriter<T>(topic: string, schema: Schema<T>): (value: T) => Buffer {
  const { type } = compile(schema.name, schema.avro)
  return value => {
    try {
      return type.toBuffer(value)
    } catch (error) {
      throw new SchemaError(`topic "${topic}": ${schema.name} cannot be written: ${reason(type, value, error)}`, {
        cause: error,
      })
    }
  }
}

/**
 * Bytes to values: as `writer` wrote them, by default the schema itself, resolved to the schema as Avro says. What it
 * returns throws nothing but SchemaError; it throws ConfigError for a schema that is none, and for a writer's that does not
 * resolve.
 */
export function avroReader<T>(topic: string, schema: Schema<T>, writer?: unknown): (bytes: Uint8Array) => T {
  const ours = compile(schema.name, schema.avro)
  const theirs = writer === undefined ? ours : compile(`the writer's ${schema.name}`, writer)
  const resolver = theirs === ours ? undefined : resolve(ours.type, theirs.type)
  return bytes => {
    try {
      const cursor = new Cursor(bytes)
      theirs.shape.check(cursor, schema.name)
      if (cursor.left > 0) throw new SchemaError(`${schema.name}: ${cursor.left} bytes too many`)
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      // avsc has read the bytes into this very schema, whose type the caller of Schema<T> has vouched for.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      return ours.shape.plain(ours.type.fromBuffer(buffer, resolver)) as T
    } catch (error) {
      throw new SchemaError(`topic "${topic}": ${messageOf(error)}`, { cause: error })
    }
  }
}

function resolve(ours: avsc.Type, theirs: avsc.Type): ReturnType<avsc.Type['createResolver']> {
  try {
    return ours.createResolver(theirs)
  } catch (error) {
    throw new ConfigError(`written by a schema that ours cannot read: ${messageOf(error)}`, { cause: error })
  }
}

/** avsc's own long writes numbers below -2^52 wrong, the zigzag form losing its last bit in a float. */
// oxlint-disable-next-line eslint/no-underscore-dangle -- its documented name
const long = avsc.types.LongType.__with({
  toBuffer: (value: number) => {
    // In halves, for a bigint is an allocation for every long of every record.
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeUInt32LE(value >>> 0, 0)
    bytes.writeInt32LE(Math.floor(value / 2 ** 32), 4)
    return bytes
  },
  fromBuffer: (bytes: Buffer) => bytes.readInt32LE(4) * 2 ** 32 + bytes.readUInt32LE(0),
  isValid: Number.isSafeInteger,
  fromJSON: Number,
  toJSON: Number,
  compare: (one: number, other: number) => Math.sign(one - other),
})

function compile(name: string, schema: unknown): { readonly type: avsc.Type; readonly shape: Shape } {
  try {
    // avsc validates the schema itself and throws when it is none.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    const type = avsc.Type.forSchema(schema as avsc.Schema, { registry: { long } })
    return { type, shape: shapeOf(schema) }
  } catch (error) {
    throw new ConfigError(`schema "${name}" is not Avro: ${messageOf(error)}`, { cause: error })
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
