import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, test } from 'node:test'
import { findRegistry } from '../../infra/registry.ts'
import { registry } from '../../src/codec/registry.ts'
import { ConfigError, SchemaError, TransportError } from '../../src/errors.ts'
import type { Schema } from '../../src/ports.ts'
import { schemas } from '../../src/schemas.ts'
import { codecContract } from '../contracts/codec.ts'
import { own } from '../support/own.ts'

type Fields = readonly Readonly<Record<string, unknown>>[]

function version(fields: Fields): Schema<Readonly<Record<string, unknown>>> {
  return { name: 'Note', avro: { type: 'record', name: 'Note', namespace: 'test', fields } }
}

const text = { name: 'text', type: 'string' }
const older = version([text])
const newer = version([
  text,
  { name: 'lang', type: ['null', 'string'], default: null },
  { name: 'size', type: 'int', default: 7 },
])

const found = await own(findRegistry)

if ('missing' in found) test('registry: on a real one', { skip: found.missing }, () => {})
else {
  const { url } = found
  after(() => found.stop())

  codecContract('registry', () => registry({ url }))

  test('registry: readers of either version understand writers of the other', async () => {
    const codec = registry({ url })
    const old = codec('evolving', older)
    const bytes = await old.encode({ text: 'a' })
    const current = codec('evolving', newer)
    assert.deepEqual(await current.decode(bytes), { text: 'a', size: 7 })
    assert.deepEqual(await old.decode(await current.encode({ text: 'b', lang: 'de', size: 1 })), { text: 'b' })
  })

  test('registry: values are in the Confluent wire format, under the subject of the strategy', async () => {
    for (const [subject, expected] of [
      ['topic', 'wire-value'],
      ['record', 'test.Note'],
      ['topic-record', 'wire-test.Note'],
    ] as const) {
      const bytes = await registry({ url, subject })('wire', older).encode({ text: 'x' })
      assert.equal(bytes[0], 0)
      const id = Buffer.from(bytes).readUInt32BE(1)
      const response = await fetch(`${url}/subjects/${expected}/versions/latest`)
      assert.match(await response.text(), new RegExp(`"id":${id}\\b`))
      assert.deepEqual([...bytes.subarray(5)], [2, 'x'.charCodeAt(0)])
    }
  })

  test('registry: without autoRegister a schema must be there', async () => {
    const look = registry({ url, autoRegister: false })
    await assert.rejects(look('looked', older).encode({ text: 'a' }), (error: unknown) => {
      assert.ok(error instanceof ConfigError, String(error))
      assert.match(error.message, /subject "looked-value": Note cannot be found/)
      return true
    })
    const bytes = await registry({ url })('looked', older).encode({ text: 'a' })
    assert.deepEqual([...(await look('looked', older).encode({ text: 'a' }))], [...bytes])
  })

  test('registry: a schema that the subject cannot take is our defect, not the record’s', async () => {
    const codec = registry({ url })
    await codec('strict', older).encode({ text: 'a' })
    const other = version([{ name: 'text', type: 'int' }])
    await assert.rejects(codec('strict', other).encode({ text: 1 }), ConfigError)
  })

  test('registry: an id that it does not know, and a writer that ours cannot read, are the record’s defects', async () => {
    const codec = registry({ url })
    await assert.rejects(codec('foreign', older).decode(Uint8Array.of(0, 0x7f, 0, 0, 1, 0)), SchemaError)
    const bytes = await codec('other', version([{ name: 'count', type: 'int' }])).encode({ count: 1 })
    await assert.rejects(codec('other', older).decode(bytes), (error: unknown) => {
      assert.ok(error instanceof SchemaError, String(error))
      assert.match(error.message, /topic "other": schema id \d+: .*text/)
      return true
    })
  })

  test('registry: the shipped schemas are registered and come back', async () => {
    const serde = registry({ url })('prompts', schemas.prompt)
    const prompt = { text: 'a', maxTokens: 4, seed: -(2 ** 52) - 1, metadata: { tenant: 'x' } }
    assert.deepEqual(await serde.decode(await serde.encode(prompt)), prompt)
  })
}

test('registry: one that is out of reach is a trouble of the transport, and is asked again', async () => {
  const serde = registry({ url: 'http://127.0.0.1:9' })('notes', older)
  await assert.rejects(serde.encode({ text: 'a' }), TransportError)
  await assert.rejects(serde.decode(Uint8Array.of(0, 0, 0, 0, 1, 0)), TransportError)
})

test('registry: credentials go along, and while they are refused it is a trouble of the transport', async t => {
  const seen: (string | undefined)[] = []
  const server = createServer((request, response) => {
    seen.push(request.headers.authorization)
    response.statusCode = seen.length === 3 ? 401 : 200
    response.setHeader('content-type', 'application/json').end('{"id":5}')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const url = `http://127.0.0.1:${address.port}`
  const basic = { username: 'user', password: 'secret' }
  await registry({ url, basic })('notes', older).encode({ text: 'a' })
  await registry({ url, bearer: 'token' })('notes', older).encode({ text: 'a' })
  assert.deepEqual(seen, [`Basic ${Buffer.from('user:secret').toString('base64')}`, 'Bearer token'])
  await assert.rejects(registry({ url, basic })('notes', older).encode({ text: 'a' }), (error: unknown) => {
    assert.ok(error instanceof TransportError, String(error))
    assert.doesNotMatch(error.message, /secret/)
    return true
  })
})

test('registry: two kinds of credentials are refused', () => {
  const both = { url: 'http://localhost', basic: { username: 'u', password: 'p' }, bearer: 't' }
  assert.throws(() => registry(both), ConfigError)
})
