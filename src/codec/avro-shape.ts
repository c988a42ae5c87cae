import { isUtf8 } from 'node:buffer'
import { ConfigError, SchemaError } from '../errors.ts'

/** Values nest a few levels; a recursive schema must not be able to exhaust the stack. */
const MAX_DEPTH = 64
/** A varint of 64 bits. */
const MAX_VARINT_BYTES = 10

/** What a schema says about bytes and about decoded values. */
export type Shape = {
  /**
   * Walks the bytes of one value without building it. Throws SchemaError, with the field, where a length or count is more
   * than the bytes can hold (a reader would loop or allocate for it), a branch or symbol does not exist, a number leaves
   * its type or 2^53, or a string is not UTF-8.
   */
  check(cursor: Cursor, path: string): void
  /** The decoded value as a plain one: a field whose default is null is absent instead of null. */
  plain(value: unknown): unknown
}

/** A place in bytes. */
export class Cursor {
  readonly #bytes: Uint8Array
  #at = 0
  depth = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  take(count: number, path: string): Uint8Array {
    if (count < 0 || count > this.left)
      throw new SchemaError(`${path}: ${count} bytes announced, expected at most the ${this.left} that are left`)
    this.#at += count
    return this.#bytes.subarray(this.#at - count, this.#at)
  }

  /** A zigzag varint. Beyond 2^53 it would lose digits as a number, so it is refused. */
  integer(path: string): number {
    // Halved, for the zigzag form has a bit more than a number can hold; that bit is the sign.
    let half = 0
    let negative = false
    for (let index = 0; index < MAX_VARINT_BYTES; index++) {
      if (this.left === 0) this.take(1, path)
      // Without a view of its own: a record has dozens of these.
      const byte = this.#bytes[this.#at++] ?? 0
      if (index === 0) negative = byte % 2 === 1
      half += index === 0 ? (byte & 0x7f) >> 1 : (byte & 0x7f) * 2 ** (7 * index - 1)
      if (byte >= 0x80) continue
      const value = negative ? -half - 1 : half
      if (Number.isSafeInteger(value)) return value
      throw new SchemaError(`${path}: an integer beyond 2^53, expected less`)
    }
    throw new SchemaError(`${path}: an integer of more than ${MAX_VARINT_BYTES} bytes, expected a varint`)
  }
}

/** The shape of an Avro schema. Throws ConfigError where the schema is not one. */
export function shapeOf(schema: unknown): Shape {
  const named = new Map<string, Shape>()
  return compile(schema)

  function compile(part: unknown): Shape {
    if (Array.isArray(part)) return union(part.map(compile), part.indexOf('null'))
    if (typeof part === 'string') {
      const shape = primitives.get(part) ?? named.get(part) ?? named.get(lastName(part))
      if (shape === undefined) throw new ConfigError(`schema: type "${part}" is unknown`)
      return shape
    }
    if (!isObject(part)) throw new ConfigError('schema: expected a type name, a union or an object')
    if (part['type'] === 'array') return array(compile(part['items']))
    if (part['type'] === 'map') return map(compile(part['values']))
    if (part['type'] === 'enum' && Array.isArray(part['symbols'])) return name(part, choice(part['symbols'].length))
    if (part['type'] === 'fixed') return name(part, sized(Number(part['size'])))
    if (part['type'] === 'record' && Array.isArray(part['fields'])) {
      const fields: Field[] = []
      // Named before its fields are read, for they may refer to it.
      const shape = name(part, record(fields))
      for (const field of part['fields']) if (isObject(field)) fields.push(toField(field))
      return shape
    }
    return compile(part['type'])
  }

  function name(part: Readonly<Record<string, unknown>>, shape: Shape): Shape {
    const full = String(part['name'])
    named.set(lastName(full), shape)
    return shape
  }

  function toField(field: Readonly<Record<string, unknown>>): Field {
    return { name: String(field['name']), shape: compile(field['type']), optional: field['default'] === null }
  }
}

type Field = { readonly name: string; readonly shape: Shape; readonly optional: boolean }

const same = (value: unknown): unknown => value

const text: Shape = {
  plain: same,
  check: (cursor, path) => {
    if (!isUtf8(cursor.take(cursor.integer(path), path)))
      throw new SchemaError(`${path}: bytes that are not UTF-8, expected a string`)
  },
}

const primitives: ReadonlyMap<string, Shape> = new Map([
  ['null', sized(0)],
  ['boolean', sized(1)],
  ['float', sized(4)],
  ['double', sized(8)],
  ['long', { plain: same, check: (cursor, path) => void cursor.integer(path) }],
  ['int', { plain: same, check: (cursor, path) => void within(cursor, path, -(2 ** 31), 2 ** 31 - 1) }],
  ['bytes', { plain: same, check: (cursor, path) => void cursor.take(cursor.integer(path), path) }],
  ['string', text],
])

function sized(bytes: number): Shape {
  return { plain: same, check: (cursor, path) => void cursor.take(bytes, path) }
}

function choice(count: number): Shape {
  return { plain: same, check: (cursor, path) => void within(cursor, path, 0, count - 1) }
}

function within(cursor: Cursor, path: string, min: number, max: number): number {
  const value = cursor.integer(path)
  if (value < min || value > max) throw new SchemaError(`${path}: ${value}, expected ${min} to ${max}`)
  return value
}

function union(branches: readonly Shape[], nullAt: number): Shape {
  const others = branches.filter((_, index) => index !== nullAt)
  const [only] = others
  return {
    check: (cursor, path) => branches[within(cursor, path, 0, branches.length - 1)]?.check(cursor, path),
    // With several branches the decoder wraps the value in its branch's name, and it stays as it is.
    plain: value => (value === null || only === undefined || others.length > 1 ? value : only.plain(value)),
  }
}

function array(items: Shape): Shape {
  return {
    check: (cursor, path) => blocks(cursor, path, () => items.check(cursor, `${path}[]`)),
    plain: value => (Array.isArray(value) ? value.map(item => items.plain(item)) : value),
  }
}

function map(values: Shape): Shape {
  return {
    check: (cursor, path) =>
      blocks(cursor, path, () => {
        text.check(cursor, path)
        values.check(cursor, `${path}{}`)
      }),
    plain: value =>
      isObject(value)
        ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, values.plain(item)]))
        : value,
  }
}

function record(fields: readonly Field[]): Shape {
  return {
    check: (cursor, path) => {
      if (++cursor.depth > MAX_DEPTH) throw new SchemaError(`${path}: nested deeper than ${MAX_DEPTH}`)
      for (const field of fields) field.shape.check(cursor, `${path}.${field.name}`)
      cursor.depth--
    },
    plain: value => {
      if (!isObject(value)) return value
      const plain: Record<string, unknown> = {}
      for (const { name, shape, optional } of fields) {
        const field = value[name]
        if (field !== null || !optional) plain[name] = shape.plain(field)
      }
      return plain
    },
  }
}

/** Blocks of items, as arrays and maps are written. An item takes a byte at least, so more items than bytes is a lie. */
function blocks(cursor: Cursor, path: string, item: () => void): void {
  for (;;) {
    let count = cursor.integer(path)
    if (count === 0) return
    if (count < 0) {
      count = -count
      cursor.integer(path)
    }
    if (count > cursor.left)
      throw new SchemaError(
        `${path}: ${count} items announced, expected at most the ${cursor.left} bytes that are left`,
      )
    for (; count > 0; count--) item()
  }
}

/** An object that is neither `null`, an array nor bytes. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

/** A name without its namespace. */
export function lastName(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1)
}
