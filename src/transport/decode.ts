import { SchemaError } from '../errors.ts'
import type { Codec, RawRecord, Schema } from '../ports.ts'

/** Decodes the records of a topic and checks them with the schema's `parse`. What it returns rejects with SchemaError alone. */
export function decoder<T>(codec: Codec, topic: string, schema: Schema<T>): (record: RawRecord) => Promise<T> {
  const serde = codec(topic, schema)
  return async ({ value }) => {
    if (value === null) throw new SchemaError(`topic "${topic}": a record without a value, expected ${schema.name}`)
    const decoded = await serde.decode(value)
    try {
      return schema.parse === undefined ? decoded : schema.parse(decoded)
    } catch (error) {
      if (error instanceof SchemaError) throw new SchemaError(`topic "${topic}": ${error.message}`, { cause: error })
      throw error
    }
  }
}
