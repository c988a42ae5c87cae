import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import kafkajs, { type AclEntry } from 'kafkajs'
import { firstValueFrom, take, toArray } from 'rxjs'
import { temporaryFolder } from '../../infra/java.ts'
import { findSecuredBroker } from '../../infra/kafka.ts'
import { missingProgram } from '../../infra/program.ts'
import { kafkaFromEnvironment } from '../../src/cli/kafka-environment.ts'
import { avro } from '../../src/codec/avro.ts'
import { TransportError } from '../../src/errors.ts'
import { schemas } from '../../src/schemas.ts'
import { answerTo, note, texts } from '../contracts/transport-harness.ts'
import { openTopics } from '../e2e/topics.ts'
import { makeAuthority } from '../support/certificates.ts'
import { start } from '../support/command-line.ts'
import { environment } from '../support/environment.ts'

// Named imports of these type-check and fail: the module does not export them so that Node can see it.
const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs

const user = { username: 'lorastream', password: 'not-to-be-printed' }
/** Who a client is by its certificate. */
const named = 'User:CN=lorastream'

const missing = await missingProgram('openssl', 'version')
const folder = await temporaryFolder('lorastream-tls-')
const authority = missing === undefined ? await makeAuthority(folder) : undefined
const [server, client] = [await authority?.issue('broker'), await authority?.issue('lorastream')]
const stranger =
  missing === undefined ? await (await makeAuthority(folder, 'strangers')).issue('lorastream') : undefined
const broker =
  authority === undefined || server === undefined
    ? { missing: missing ?? '' }
    : await findSecuredBroker(user, { keystore: server.keystore, truststore: authority.ca })

/** As an issuer would make it, unsigned: the broker's validator for tests takes it. */
function token(seconds = 3600): string {
  const now = Math.floor(Date.now() / 1000)
  const parts = [{ alg: 'none' }, { sub: user.username, iat: now - 7200, exp: now + seconds }]
  return `${parts.map(part => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')}.`
}

if ('missing' in broker || authority === undefined || client === undefined || stranger === undefined)
  test('environment: a secured broker', { skip: 'missing' in broker ? broker.missing : '' }, () => {})
else {
  const topics = await openTopics(broker.brokers)
  await topics.create(['in', 'out', 'in.dead', 'prompts', 'completions', 'prompts.dead'], 1)
  await topics.admin.createAcls({ acl: [`User:${user.username}`, named].flatMap(rights) })
  after(async () => {
    await topics.close()
    await broker.stop()
  })
  const passwordFile = await secretFile('password', user.password)
  const trusting = { KAFKA_SSL: 'true', KAFKA_SSL_CA: authority.ca }
  const password = { KAFKA_USERNAME: user.username, KAFKA_PASSWORD: user.password }
  const at = (brokers: readonly string[]): Environment => ({ KAFKA_BROKERS: brokers.join(',') })
  const certified = { ...trusting, KAFKA_SSL_CERT: client.cert, KAFKA_SSL_KEY: client.key }

  const accepted: readonly (readonly [string, Environment])[] = [
    ['TLS', { ...at(broker.ssl), ...trusting }],
    ['mutual TLS', { ...at(broker.mutual), ...certified }],
    ['PLAIN over TLS', { ...at(broker.saslSsl), ...trusting, KAFKA_SASL: 'plain', ...password }],
    [
      'SCRAM-SHA-256 over TLS, the password from a file',
      {
        ...at(broker.saslSsl),
        ...trusting,
        KAFKA_SASL: 'scram-sha-256',
        KAFKA_USERNAME: user.username,
        KAFKA_PASSWORD_FILE: passwordFile,
      },
    ],
    ['SCRAM-SHA-512', { ...at(broker.secured), KAFKA_SASL: 'scram-sha-512', ...password }],
    ['OAUTHBEARER', { ...at(broker.secured), KAFKA_SASL: 'oauthbearer', KAFKA_OAUTH_TOKEN: token() }],
    [
      'OAUTHBEARER over TLS, the token from a file',
      {
        ...at(broker.saslSsl),
        ...trusting,
        KAFKA_SASL: 'oauthbearer',
        KAFKA_OAUTH_TOKEN_FILE: await secretFile('token', token()),
      },
    ],
  ]
  for (const [name, variables] of accepted)
    test(`environment: ${name} reads, writes and commits`, async t => {
      environment(t, { ...variables, KAFKA_GROUP: `secured-${name}`, KAFKA_DEAD_LETTERS: 'in.dead' })
      const transport = kafkaFromEnvironment(avro())
      t.after(() => transport.close())
      const [before, value] = [(await topics.records('out')).length, await avro()('in', note).encode({ text: 'a' })]
      await topics.empty('in')
      await topics.append('in', [{ key: null, value, headers: [] }])
      const messages = await firstValueFrom(transport.source('in', note).pipe(take(1), toArray()))
      assert.deepEqual(texts(messages), ['a'])
      await transport.sink('out', note).settle([answerTo(messages[0])], [])
      assert.equal((await topics.records('out')).length, before + 1)
      const status = await transport.status?.()
      assert.deepEqual([status?.unreachable, status?.partitions[0]?.lag], [undefined, 0])
    })

  test('environment: infra/topics.ts connects with the same variables', async () => {
    const env = { ...process.env, ...at(broker.saslSsl), ...trusting, KAFKA_SASL: 'plain', ...password }
    const args = ['--conditions=source', '--import', 'tsx', 'infra/topics.ts']
    const { stdout } = await promisify(execFile)(process.execPath, args, { env })
    assert.equal(stdout, 'created: nothing, all are there\n')
  })

  const guessed = { ...at(broker.saslSsl), ...trusting, KAFKA_SASL: 'plain', ...password, KAFKA_PASSWORD: 'guessed' }
  const strange = {
    ...at(broker.mutual),
    ...trusting,
    KAFKA_SSL_CERT: stranger.cert,
    KAFKA_SSL_KEY: stranger.key,
  }
  const refused: readonly (readonly [string, Environment, RegExp])[] = [
    ['a wrong password', guessed, /SASL PLAIN authentication failed/],
    [
      'a wrong SCRAM password',
      { ...at(broker.secured), KAFKA_SASL: 'scram-sha-512', ...password, KAFKA_PASSWORD: 'guessed' },
      /SASL SCRAM SHA512 authentication failed/,
    ],
    [
      'a token that has expired',
      { ...at(broker.secured), KAFKA_SASL: 'oauthbearer', KAFKA_OAUTH_TOKEN: token(-3600) },
      /OAUTHBEARER authentication failed: invalid_token/,
    ],
    [
      'a token that is none',
      { ...at(broker.secured), KAFKA_SASL: 'oauthbearer', KAFKA_OAUTH_TOKEN: 'guessed' },
      /OAUTHBEARER authentication failed/,
    ],
    [
      'a broker whose certificate nobody here trusts',
      { ...at(broker.ssl), KAFKA_SSL: 'true' },
      /unable to verify|self.signed/,
    ],
    ['no certificate where one is wanted', { ...at(broker.mutual), ...trusting }, /TLS: .*alert/],
    ["a stranger's certificate", strange, /TLS: .*alert/],
  ]
  for (const [name, variables, reason] of refused)
    test(`environment: ${name} ends the source, and no secret is told`, async t => {
      environment(t, { ...variables, KAFKA_GROUP: 'secured-refused' })
      const transport = kafkaFromEnvironment(avro())
      t.after(() => transport.close())
      await assert.rejects(firstValueFrom(transport.source('in', note)), (error: unknown) => {
        assert.ok(error instanceof TransportError, String(error))
        assert.match(error.message, /^topic "in" cannot be read by group "secured-refused": /)
        assert.match(error.message, reason)
        assert.doesNotMatch(error.message, /guessed|not-to-be-printed|eyJ/)
        return true
      })
    })

  test('environment: what the broker refuses ends `run` with one coded line, and no secret in it', async () => {
    for (const [variables, reason] of [
      [guessed, 'authentication failed'],
      [strange, 'TLS: '],
    ] as const) {
      const { status, stdout, stderr } = await run(variables).outcome
      assert.equal(status, 1, stderr)
      assert.match(stderr, new RegExp(`^TRANSPORT_FAILED: topic "prompts" cannot be read by group .*${reason}`, 'm'))
      assert.doesNotMatch(stderr + stdout, /guessed|not-to-be-printed|eyJ/)
    }
  })

  test('environment: `run` answers over TLS with a token from a file, without a registry, and prints no secret', async () => {
    const value = await avro()('prompts', schemas.prompt).encode({ text: 'hello' })
    await topics.append('prompts', [{ key: null, value, headers: [] }])
    const file = await secretFile('fresh', token())
    const running = run({ ...at(broker.saslSsl), ...trusting, KAFKA_SASL: 'oauthbearer', KAFKA_OAUTH_TOKEN_FILE: file })
    for (let tries = 0; (await topics.records('completions')).length === 0; tries++) {
      assert.ok(tries < 60, 'not within a minute')
      await setTimeout(500)
    }
    running.process.kill('SIGTERM')
    const { status, stdout, stderr } = await running.outcome
    assert.equal(status, 0, stderr)
    assert.doesNotMatch(stderr + stdout, /eyJ/)
  })

  test('environment: what cannot work is said before anything is opened, with the name of the variable', async t => {
    const some = { KAFKA_BROKERS: '127.0.0.1:9' }
    for (const [variables, reason] of [
      [{ KAFKA_BROKERS: '127.0.0.1:9, localhost' }, /KAFKA_BROKERS has "localhost", expected host:port/],
      [{ ...some, KAFKA_SASL: 'plain', KAFKA_USERNAME: 'u' }, /KAFKA_PASSWORD is not set/],
      [{ ...some, KAFKA_SASL: 'oauthbearer' }, /KAFKA_OAUTH_TOKEN is not set/],
      [{ ...some, KAFKA_SASL: 'kerberos' }, /KAFKA_SASL is "kerberos", expected plain,/],
      [{ ...some, KAFKA_PASSWORD: 'guessed' }, /KAFKA_PASSWORD is set, but KAFKA_SASL is not/],
      [{ ...some, ...password, KAFKA_SASL: 'plain', KAFKA_PASSWORD_FILE: passwordFile }, /both set/],
      [{ ...some, KAFKA_SSL_CA: authority.ca }, /KAFKA_SSL is not "true"/],
      [{ ...some, KAFKA_SSL: 'true', KAFKA_SSL_CERT: client.cert }, /KAFKA_SSL_CERT and KAFKA_SSL_KEY/],
      [{ ...some, KAFKA_SSL: 'true', KAFKA_SSL_CA: passwordFile }, /KAFKA_SSL_CA: .* has no -----BEGIN/],
      [{ ...some, KAFKA_SSL: 'true', KAFKA_SSL_CA: '/nowhere.pem' }, /KAFKA_SSL_CA: \/nowhere\.pem cannot be read/],
    ] as const)
      await t.test(String(reason), one => {
        environment(one, variables)
        assert.throws(
          () => kafkaFromEnvironment(avro()),
          (error: unknown) => {
            assert.match(String(error), reason)
            assert.doesNotMatch(String(error), /guessed|not-to-be-printed/)
            return true
          },
        )
      })
  })
}

type Environment = Readonly<Record<string, string>>

const run = (variables: Environment) =>
  start(['run', 'topologies/mixture.ts', '--config', 'test/e2e/environment-on-kafka.ts'], {
    ...variables,
    KAFKA_GROUP: 'secured-run',
  })

async function secretFile(name: string, content: string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, `${content}\n`, { mode: 0o600 })
  return path
}

/** What docs/kafka.md tells an administrator to allow, for both sets of topics. */
function rights(principal: string): readonly AclEntry[] {
  const { LITERAL, PREFIXED } = ResourcePatternTypes
  const { TOPIC, GROUP, TRANSACTIONAL_ID } = AclResourceTypes
  const { READ, WRITE } = AclOperationTypes
  const allowed = [
    ...['in', 'prompts'].map(name => [TOPIC, name, READ, LITERAL] as const),
    ...['out', 'in.dead', 'completions', 'prompts.dead'].map(name => [TOPIC, name, WRITE, LITERAL] as const),
    [GROUP, 'secured', READ, PREFIXED] as const,
    [TRANSACTIONAL_ID, 'secured', WRITE, PREFIXED] as const,
  ]
  return allowed.map(([resourceType, resourceName, operation, resourcePatternType]) => ({
    resourceType,
    resourceName,
    operation,
    resourcePatternType,
    principal,
    host: '*',
    permissionType: AclPermissionTypes.ALLOW,
  }))
}
