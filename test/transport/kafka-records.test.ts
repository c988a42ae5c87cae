import assert from 'node:assert/strict'
import { test } from 'node:test'
import { byTopic, toRecord } from '../../src/transport/kafka-records.ts'

const bytes = (text: string): Buffer => Buffer.from(text)

/** A record whose headers came in this order, grouped as kafkajs groups them: in a plain object. */
function read(...headers: readonly (readonly [name: string, value: Buffer | null])[]) {
  const grouped = headers.reduce<Record<string, unknown>>((before, [name, value]) => {
    const known = before[name]
    const all = known === undefined ? value : Array.isArray(known) ? [...(known as unknown[]), value] : [known, value]
    return { ...before, [name]: all }
  }, {})
  return toRecord({ offset: '7', timestamp: '1', key: null, value: null, headers: grouped }).headers
}

test('kafka: headers of any name are read, those that every object inherits among them', () => {
  assert.deepEqual(read(['constructor', bytes('a')], ['toString', bytes('b')]), [
    ['constructor', bytes('a')],
    ['toString', bytes('b')],
  ])
})

test('kafka: headers of one name are kept apart, and one without a value is empty', () => {
  assert.deepEqual(read(['trace', null], ['trace', bytes('x')], ['alone', null]), [
    ['trace', bytes('')],
    ['trace', bytes('x')],
    ['alone', bytes('')],
  ])
})

test('kafka: headers of any name are written', () => {
  const headers = ['constructor', '__proto__', 'valueOf', 'constructor'].map(name => [name, bytes(name)] as const)
  const [batch] = byTopic([{ topic: 'out', key: null, value: null, headers }])
  assert.deepEqual(
    Object.entries(batch?.messages[0]?.headers ?? {}).map(([name, values]) => [name, values.map(String)]),
    [
      ['constructor', ['constructor', 'constructor']],
      ['__proto__', ['__proto__']],
      ['valueOf', ['valueOf']],
    ],
  )
})
