import { isUtf8 } from 'node:buffer'
import { SchemaError } from '../errors.ts'
import type { Codec, Schema } from '../ports.ts'
import { avroWriter } from './avro.ts'
import { jsonShapeOf } from './json-shape.ts'

/** As a line of JSON lines has: a prompt of 1 MiB of text, six bytes a character when all of it is escaped, and its other fields. */
const MAX_BYTES = 8 * 2 ** 20

/**
 * JSON of the fields of an Avro schema, without a header or a schema id. It is read strictly: every field must be one of the
 * schema's and have its type; optional ones may be absent or null, and are absent then. Fields that the schema does not have are
 * not written. Both throw SchemaError that names the field, and for more than 8 MiB. Throws ConfigError for a schema that is none.
 */
export function json(): Codec {
  return <T>(topic: string, schema: Schema<T>) => {
    // Avro checks the schema.
    avroWriter<T>(topic, schema)
    const shape = jsonShapeOf(schema.avro)
    return { encode: async (value: T) => encode(value), decode: async (bytes: Uint8Array) => decode(bytes) }

    function encode(value: T): Uint8Array {
      return about('cannot be written: ', () => {
        const bytes = Buffer.from(JSON.stringify(shape(value, schema.name, 'writing', 0)))
        if (bytes.length <= MAX_BYTES) return bytes
        throw new SchemaError(`${schema.name} has ${bytes.length} bytes, expected at most ${MAX_BYTES}`)
      })
    }

    function decode(bytes: Uint8Array): T {
      return about('', () => {
        if (bytes.length > MAX_BYTES)
          throw new SchemaError(`${schema.name} has ${bytes.length} bytes, expected at most ${MAX_BYTES}`)
        if (!isUtf8(bytes)) throw new SchemaError(`${schema.name} is not UTF-8, expected JSON`)
        // Every field was held against this very schema, whose type the caller of Schema<T> has vouched for.
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion
        return shape(parsed(bytes, schema.name), schema.name, 'reading', 0) as T
      })
    }

    function about<Value>(what: string, work: () => Value): Value {
      try {
        return work()
      } catch (error) {
        if (!(error instanceof SchemaError)) throw error
        throw new SchemaError(`topic "${topic}": ${what === '' ? '' : `${schema.name} ${what}`}${error.message}`, {
          cause: error,
        })
      }
    }
  }
}

function parsed(bytes: Uint8Array, name: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'))
  } catch (error) {
    // V8's own message quotes the text, which may be long and private.
    const [, position = ''] = /(?:at )?(position \d+)/.exec(String(error)) ?? []
    throw new SchemaError(`${name} is not JSON${position === '' ? '' : `, at ${position}`}`, { cause: error })
  }
}
