import { createReadStream } from 'node:fs'
import { SchemaError, TransportError, toErrorData, UnknownAdapterError } from '../../errors.ts'
import { shown, type Fail, type JsonObject } from '../../hf/json.ts'
import { lines } from '../../transport/lines.ts'

/** A prompt and a target of a few thousand words, or a text of 32,768 characters, as adapters' samples have them, escaped. */
const MAX_LINE_BYTES = 1024 * 1024
/** Encoded at a millisecond each a quarter of an hour; answered, days. */
const MAX_LINES = 1_000_000
/** Directory names, which ids are, are shorter; groups and clusters are headings of a report. */
export const MAX_NAME_LENGTH = 128

export const fail: Fail = (message, options) => new SchemaError(message, options)

/**
 * Reads a file line by line, blank ones left out; `where` names file and line, `what` says in messages what a line is.
 * @throws SchemaError for a file without lines or with too many, and a line that is too long or not UTF-8; SchemaError and
 * UnknownAdapterError of `read`; TransportError for a file that cannot be read.
 */
export async function eachLine(
  path: string,
  what: string,
  read: (where: string, bytes: Uint8Array, line: number) => void,
): Promise<void> {
  let count = 0
  try {
    for await (const { number, bytes, problem } of lines(createReadStream(path), MAX_LINE_BYTES)) {
      const where = `${path} line ${number}`
      if (problem !== undefined) throw fail(`${where}: ${problem}`)
      if (count === MAX_LINES) throw fail(`${where}: expected at most ${MAX_LINES} ${what}`)
      count += 1
      read(where, bytes, number)
    }
  } catch (error) {
    if (error instanceof SchemaError || error instanceof UnknownAdapterError) throw error
    throw new TransportError(`${path} cannot be read: ${toErrorData(error).message}`, { cause: error })
  }
  if (count === 0) throw fail(`${path}: no ${what}, expected one a line`)
}

/** A field's name of an adapter, a group or the like. Throws SchemaError for one that is absent, blank or too long. */
export function nameIn(where: string, fields: JsonObject, field: string): string {
  const value = filledIn(where, fields, field, 'a name')
  if (value.length > MAX_NAME_LENGTH)
    throw fail(`${where}: ${field} has ${value.length} characters, expected at most ${MAX_NAME_LENGTH}`)
  return value
}

/** A field's text. Throws SchemaError for one that is absent or blank, saying that `expected` was. */
export function filledIn(where: string, fields: JsonObject, field: string, expected: string): string {
  const value = fields[field]
  if (typeof value === 'string' && value.trim() !== '') return value
  throw fail(`${where}: ${field} is ${value === '' ? 'empty' : shown(value)}, expected ${expected}`)
}
