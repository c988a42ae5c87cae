import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { request as forward } from 'node:http'
import { createServer } from 'node:https'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { temporaryFolder } from '../../infra/java.ts'
import { missingProgram } from '../../infra/program.ts'
import { findRegistry } from '../../infra/registry.ts'
import { registerSchemas, setUp } from '../../infra/set-up.ts'
import { registryFromEnvironment } from '../../src/cli/kafka-environment.ts'
import { registry } from '../../src/codec/registry.ts'
import { ConfigError, TransportError } from '../../src/errors.ts'
import { schemas } from '../../src/schemas.ts'
import { codecContract } from '../contracts/codec.ts'
import { makeAuthority, type Authority } from '../support/certificates.ts'
import { environment } from '../support/environment.ts'
import { own } from '../support/own.ts'

const missing = await missingProgram('openssl', 'version')
const found = missing === undefined ? await own(findRegistry) : { missing }

if ('missing' in found) test('registry: behind TLS and credentials', { skip: found.missing }, () => {})
else {
  const folder = await temporaryFolder('lorastream-registry-')
  const authority = await makeAuthority(folder)
  const basic = { username: 'user', password: 'not-to-be-printed' }
  const bearer = 'not-to-be-printed-either'
  const front = await guarded(found.url, authority, [
    `Basic ${Buffer.from(`${basic.username}:${basic.password}`).toString('base64')}`,
    `Bearer ${bearer}`,
  ])
  const client = await authority.issue('client')
  const [ca, cert, key] = await Promise.all([authority.ca, client.cert, client.key].map(path => readFile(path, 'utf8')))
  assert.ok(ca !== undefined && cert !== undefined && key !== undefined)
  const tls = { ca, cert, key }
  after(async () => {
    front.close()
    await found.stop()
  })

  codecContract('registry over mutual TLS with a password', () => registry({ url: front.url, basic, tls }))

  test('registry: a bearer token over TLS', async () => {
    const serde = registry({ url: front.url, bearer, tls })('guarded', schemas.prompt)
    assert.deepEqual(await serde.decode(await serde.encode({ text: 'a' })), { text: 'a' })
  })

  test('registry: wrong credentials, no client certificate and a server that is not trusted are told without a secret', async () => {
    for (const options of [
      { tls, basic: { ...basic, password: 'guessed' } },
      { tls, bearer: 'guessed' },
      { tls },
      { tls: { ca }, basic },
      { basic },
    ])
      await assert.rejects(
        registry({ url: front.url, ...options })('guarded', schemas.prompt).encode({ text: 'a' }),
        (error: unknown) => {
          assert.ok(error instanceof TransportError, String(error))
          assert.match(error.message, /^subject "guarded-value": Prompt cannot be registered: /)
          assert.doesNotMatch(error.message, /guessed|not-to-be-printed|dXNlcj/)
          return true
        },
      )
  })

  const variables = {
    SCHEMA_REGISTRY_URL: front.url,
    SCHEMA_REGISTRY_AUTH: `${basic.username}:${basic.password}`,
    SCHEMA_REGISTRY_SSL_CA: authority.ca,
    SCHEMA_REGISTRY_SSL_CERT: client.cert,
    SCHEMA_REGISTRY_SSL_KEY: client.key,
    SCHEMA_REGISTRY_SUBJECT: 'topic-record',
    SCHEMA_REGISTRY_AUTO_REGISTER: 'true',
  }
  const subjects = async (): Promise<string> => await (await fetch(`${found.url}/subjects`)).text()

  test('registry: the environment says all of it, and what it says wrong is named', async t => {
    environment(t, variables)
    await registryFromEnvironment()('environment', schemas.prompt).encode({ text: 'a' })
    assert.match(await subjects(), /"environment-[\w.]*Prompt"/)

    process.env['SCHEMA_REGISTRY_AUTO_REGISTER'] = 'false'
    await registryFromEnvironment()('environment', schemas.prompt).encode({ text: 'a' })
    await assert.rejects(registryFromEnvironment()('nowhere', schemas.prompt).encode({ text: 'a' }), ConfigError)

    for (const [name, value] of [
      ['SCHEMA_REGISTRY_SUBJECT', 'none'],
      ['SCHEMA_REGISTRY_AUTO_REGISTER', 'perhaps'],
      ['SCHEMA_REGISTRY_AUTH', 'no colon'],
    ] as const)
      await t.test(name, one => {
        environment(one, { [name]: value })
        assert.throws(registryFromEnvironment, (error: unknown) => {
          assert.ok(error instanceof ConfigError)
          assert.match(error.message, new RegExp(`^${name}`))
          return true
        })
      })
  })

  test('registry: a set-up is let in as the main job is, and one that fails leaves nothing behind', async t => {
    const password = join(folder, 'password')
    await writeFile(password, `${basic.username}:${basic.password}\n`)
    environment(t, { ...variables, SCHEMA_REGISTRY_AUTH: '', SCHEMA_REGISTRY_AUTH_FILE: password })
    const there = new Set(['others', 'completions'])
    const admin = {
      listTopics: async () => [...there],
      /** Makes the first, and breaks. */
      createTopics: async (asked: { readonly topics: readonly { readonly topic: string }[] }) => {
        there.add(asked.topics[0]?.topic ?? '')
        throw new Error('the controller is away')
      },
      deleteTopics: async ({ topics }: { readonly topics: readonly string[] }) =>
        topics.forEach(one => there.delete(one)),
    }
    await assert.rejects(setUp(admin, front.url, 3), /^Error: the controller is away$/)
    assert.deepEqual([...there], ['others', 'completions'])
    assert.doesNotMatch(await subjects(), /"(prompts|completions)-value"/)

    assert.deepEqual([...(await registerSchemas(front.url)).keys()], ['prompts-value', 'completions-value'])
    await assert.rejects(setUp(admin, front.url, 3), /the controller is away/)
    assert.match(await subjects(), /"completions-value"/)
    process.env['SCHEMA_REGISTRY_AUTH_FILE'] = ''
    await assert.rejects(registerSchemas(front.url), /https:\S+\/subjects\/prompts-value\/versions answers 401: /)
  })

  test('registry: a set-up whose registry does not answer says which, and makes no topic', async () => {
    const never = async (): Promise<never> => assert.fail()
    const admin = { listTopics: never, createTopics: never, deleteTopics: never }
    await assert.rejects(setUp(admin, 'http://127.0.0.1:1', 3), /http:\/\/127\.0\.0\.1:1\/subjects does not answer: /)
  })
}

/** A front with TLS that wants a client's certificate and one of these headers, and hands over what has them. */
async function guarded(url: string, authority: Authority, allowed: readonly string[]) {
  const { cert, key } = await authority.issue('front')
  const files = { ca: await readFile(authority.ca), cert: await readFile(cert), key: await readFile(key) }
  const server = createServer({ ...files, requestCert: true, rejectUnauthorized: true }, (incoming, outgoing) => {
    if (!allowed.includes(incoming.headers.authorization ?? '')) {
      outgoing.writeHead(401, { 'content-type': 'application/json' })
      return outgoing.end('{"error_code":40101,"message":"Unauthorized"}')
    }
    const target = new URL(`${url}${incoming.url ?? ''}`)
    const headers = { ...incoming.headers, host: target.host }
    const onward = forward(target, { method: incoming.method ?? 'GET', headers }, answer => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
    })
    return incoming.pipe(onward)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  return {
    url: `https://127.0.0.1:${address.port}`,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
