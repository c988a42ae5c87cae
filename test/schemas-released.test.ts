import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { avroReader, avroWriter } from '../src/codec/avro.ts'
import { ConfigError } from '../src/errors.ts'
import { schemas } from '../src/schemas.ts'

/** A folder for each version that was released, with the schemas as they were. */
const folder = new URL('../schemas/released/', import.meta.url)
const versions = readdirSync(folder).toSorted()
const names = ['prompt', 'completion'] as const

type Fields = Readonly<Record<string, unknown>>

function released(version: string, name: string): unknown {
  return JSON.parse(readFileSync(new URL(`${version}/${name}.avsc`, folder), 'utf8'))
}

/** A value with nothing in it but what a schema demands. */
function least(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.includes('null') ? null : least(schema[0])
  if (typeof schema === 'string') return { string: 'x', boolean: true, null: null }[schema] ?? 1
  if (!isObject(schema)) throw new Error(`not a schema: ${String(schema)}`)
  if (schema['type'] === 'enum' && Array.isArray(schema['symbols'])) return schema['symbols'][0]
  if (schema['type'] === 'array') return []
  if (schema['type'] === 'map') return {}
  if (schema['type'] !== 'record' || !Array.isArray(schema['fields'])) return least(schema['type'])
  const fields = schema['fields'].filter(isObject).filter(field => !('default' in field))
  return Object.fromEntries(fields.map(field => [String(field['name']), least(field['type'])]))
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Reads with one schema what was written with another. */
function read(writer: unknown, reader: unknown): unknown {
  const write = avroWriter<unknown>('topic', { name: 'Value', avro: writer })
  return avroReader<unknown>('topic', { name: 'Value', avro: reader }, writer)(write(least(writer)))
}

test('schemas: at least one released version is kept, each with all schemas', () => {
  assert.ok(versions.length > 0)
  for (const version of versions) {
    assert.match(version, /^\d+\.\d+\.\d+$/)
    const expected = names.map(name => `${name}.avsc`)
    assert.deepEqual(readdirSync(new URL(`${version}/`, folder)).toSorted(), expected.toSorted())
  }
})

for (const version of versions)
  for (const name of names) {
    test(`schemas: ${name} reads what ${version} wrote (BACKWARD)`, () => {
      assert.ok(read(released(version, name), schemas[name].avro))
    })

    test(`schemas: ${version} reads what ${name} writes (FORWARD)`, () => {
      assert.ok(read(schemas[name].avro, released(version, name)))
    })
  }

test('schemas: the comparison sees a field without a default, one that is gone, another type and a symbol less', () => {
  const record = (...fields: readonly Fields[]): Fields => ({ type: 'record', name: 'Value', fields })
  const text = { name: 'text', type: 'string' }
  const kind = (...symbols: readonly string[]): Fields => ({
    name: 'kind',
    type: { type: 'enum', name: 'Kind', symbols },
  })
  for (const [writer, reader] of [
    [record(text), record(text, { name: 'size', type: 'int' })],
    [record(), record(text)],
    [record(text), record({ name: 'text', type: 'int' })],
    [record(kind('B', 'A')), record(kind('A'))],
  ] as const)
    assert.throws(() => read(writer, reader), ConfigError, JSON.stringify([writer, reader]))
  const added = { name: 'size', type: ['null', 'int'], default: null }
  assert.deepEqual(read(record(text), record(text, added)), { text: 'x' })
  assert.deepEqual(read(record(text, added), record(text)), { text: 'x' })
})
