import { ConfigError, SchemaError } from '../errors.ts'
import { shown } from '../hf/json.ts'
import { isObject, lastName } from './avro-shape.ts'

/** Values nest a few levels; a recursive schema must not be able to exhaust the stack. */
const MAX_DEPTH = 64

/**
 * To or from JSON. `reading` refuses fields that the schema does not have; writing leaves them out.
 * What JSON cannot say is written as text: infinities and NaN by their names, as Protobuf's JSON has it, and bytes as one
 * character each, as Avro's has it.
 */
type Way = 'reading' | 'writing'

/** What a schema says of a JSON value. Throws SchemaError that names the field, what was found and what was expected. */
export type JsonShape = (value: unknown, path: string, way: Way, depth: number) => unknown

/** The shape of a schema that is Avro: that was checked before. Throws ConfigError for a type that it does not know. */
export function jsonShapeOf(schema: unknown): JsonShape {
  const named = new Map<string, JsonShape>()
  return compile(schema)

  function compile(part: unknown): JsonShape {
    if (Array.isArray(part)) return union(part)
    if (typeof part === 'string') {
      const shape = primitives.get(part) ?? named.get(lastName(part))
      if (shape === undefined) throw new ConfigError(`schema: type "${part}" is unknown`)
      return shape
    }
    if (!isObject(part)) throw new ConfigError('schema: expected a type name, a union or an object')
    const { type, name } = part
    if (type === 'array') return array(compile(part['items']))
    if (type === 'map') return map(compile(part['values']))
    if (type === 'enum' && Array.isArray(part['symbols'])) return remember(name, choice(part['symbols'].map(String)))
    if (type === 'fixed') return remember(name, bytes(Number(part['size'])))
    if (type === 'record' && Array.isArray(part['fields'])) {
      const fields: Field[] = []
      // Named before its fields are read, for they may refer to it.
      const shape = remember(name, record(fields))
      for (const field of part['fields'])
        if (isObject(field))
          fields.push({ name: String(field['name']), shape: compile(field['type']), default: field['default'] })
      return shape
    }
    return compile(type)
  }

  function remember(name: unknown, shape: JsonShape): JsonShape {
    named.set(lastName(String(name)), shape)
    return shape
  }

  /** A value with null beside it stands for itself; among several, it is in an object under its type's name. */
  function union(parts: readonly unknown[]): JsonShape {
    const nullable = parts.includes('null')
    const others = parts.filter(part => part !== 'null')
    const shapes = new Map(others.map(part => [lastName(nameOf(part)), compile(part)]))
    const [only] = shapes.values()
    return (value, path, way, depth) => {
      if (value === null && nullable) return null
      if (shapes.size === 1 && only !== undefined) return only(value, path, way, depth)
      const [entry, more] = isObject(value) ? Object.entries(value) : []
      const shape = entry === undefined || more !== undefined ? undefined : shapes.get(lastName(entry[0]))
      if (entry === undefined || shape === undefined)
        throw misfit(path, value, `an object with one of ${[...shapes.keys()].join(', ')}`)
      return { [entry[0]]: shape(entry[1], `${path}.${entry[0]}`, way, depth) }
    }
  }
}

type Field = { readonly name: string; readonly shape: JsonShape; readonly default: unknown }

const primitives: ReadonlyMap<string, JsonShape> = new Map([
  ['null', plain('null', value => value === null)],
  ['boolean', plain('true or false', value => typeof value === 'boolean')],
  ['string', plain('a string', value => typeof value === 'string')],
  ['int', plain('an integer of 32 bits', value => Number.isInteger(value) && Number(value) === (Number(value) | 0))],
  ['long', plain('an integer below 2^53', Number.isSafeInteger)],
  ['float', double],
  ['double', double],
  ['bytes', bytes()],
])

function plain(expected: string, fits: (value: unknown) => boolean): JsonShape {
  return (value, path) => {
    if (!fits(value)) throw misfit(path, value, expected)
    return value
  }
}

function double(value: unknown, path: string, way: Way): unknown {
  const unsayable = ['NaN', 'Infinity', '-Infinity']
  if (way === 'reading' && typeof value === 'string' && unsayable.includes(value)) return Number(value)
  if (typeof value !== 'number') throw misfit(path, value, 'a number')
  return way === 'reading' || Number.isFinite(value) ? value : String(value)
}

function bytes(size?: number): JsonShape {
  const expected = `bytes${size === undefined ? '' : `, ${size} of them`}, a character each`
  return (value, path, way) => {
    const found =
      way === 'writing' && value instanceof Uint8Array
        ? Buffer.from(value)
        : // oxlint-disable-next-line no-control-regex -- every byte is meant
          way === 'reading' && typeof value === 'string' && /^[\0-\xff]*$/.test(value)
          ? Buffer.from(value, 'latin1')
          : undefined
    if (found === undefined || (size !== undefined && found.length !== size)) throw misfit(path, value, expected)
    return way === 'reading' ? found : found.toString('latin1')
  }
}

function choice(symbols: readonly string[]): JsonShape {
  return plain(symbols.join(', '), value => typeof value === 'string' && symbols.includes(value))
}

function array(items: JsonShape): JsonShape {
  return (value, path, way, depth) => {
    if (!Array.isArray(value)) throw misfit(path, value, 'an array')
    return value.map((item, index) => items(item, `${path}[${index}]`, way, depth))
  }
}

function map(values: JsonShape): JsonShape {
  return (value, path, way, depth) => {
    if (!isObject(value)) throw misfit(path, value, 'an object')
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, values(item, `${path}.${shown(key)}`, way, depth)]),
    )
  }
}

function record(fields: readonly Field[]): JsonShape {
  return (value, path, way, depth) => {
    if (depth > MAX_DEPTH) throw new SchemaError(`${path} is nested deeper than ${MAX_DEPTH}`)
    if (!isObject(value)) throw misfit(path, value, 'an object')
    if (way === 'reading') {
      const unknown = Object.keys(value).find(name => !fields.some(field => field.name === name))
      if (unknown !== undefined) throw new SchemaError(`${path}.${shown(unknown)} is not a field of the schema`)
    }
    const found: [string, unknown][] = []
    for (const field of fields) {
      const there = Object.hasOwn(value, field.name) ? value[field.name] : undefined
      // As Avro has it here: a field whose default is null is absent instead of null.
      if (field.default === null && (there === undefined || there === null)) continue
      if (there === undefined && field.default === undefined)
        throw new SchemaError(`${path}.${field.name} is missing, and has no default`)
      if (there !== undefined) found.push([field.name, field.shape(there, `${path}.${field.name}`, way, depth + 1)])
      // A default is JSON itself, and Avro has checked it.
      else if (way === 'reading')
        found.push([field.name, field.shape(field.default, `${path}.${field.name}`, way, depth + 1)])
    }
    return Object.fromEntries(found)
  }
}

function misfit(path: string, value: unknown, expected: string): SchemaError {
  return new SchemaError(`${path} is ${describe(value)}, expected ${expected}`)
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  if (value === undefined) return 'missing'
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return String(value)
  return typeof value === 'string' ? `"${shown(value)}"` : `an ${typeof value}`
}

function nameOf(part: unknown): string {
  if (!isObject(part)) return String(part)
  return typeof part['name'] === 'string' ? part['name'] : String(part['type'])
}
