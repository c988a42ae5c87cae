import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { startContainer } from '../../infra/containers.ts'
import { findBroker } from '../../infra/kafka.ts'
import { climb, type Missing, type Rung } from '../../infra/ladder.ts'
import { missingProgram } from '../../infra/program.ts'
import { findRegistry } from '../../infra/registry.ts'
import { environment } from '../support/environment.ts'
import { temporaryFolder } from '../support/peft-files.ts'

type Service = { readonly from: string }
const x = { service: 'x', variable: 'X' }

function rung(name: string, found: Service | Missing): Rung<Service> {
  return { name, take: async () => found }
}

test('ladder: takes the first rung that is there, and tells in one line why not those above', async () => {
  const told: string[] = []
  const rungs = [
    rung('the one that X names', { missing: 'X is not set' }),
    rung('x in a container', { missing: 'no container engine answers' }),
    rung('x on the local JVM', { from: 'jvm' }),
    rung('another', { from: 'another' }),
  ]
  assert.deepEqual(await climb(x, rungs, line => told.push(line)), { from: 'jvm' })
  assert.deepEqual(told, ['x: x on the local JVM (X is not set, no container engine answers)'])
})

test('ladder: without any rung says every reason and what helps, and tells nothing', async () => {
  const rungs = [rung('a', { missing: 'no a' }), rung('b', { missing: 'no b' })]
  assert.deepEqual(await climb(x, rungs, assert.fail), {
    missing: 'no x: no a, no b; set X, start a container engine, or install Java 17 and Maven',
  })
})

test('ladder: a rung that breaks is not replaced by the next', async () => {
  const broken: Rung<Service> = { name: 'a', take: () => Promise.reject(new Error('broken')) }
  await assert.rejects(climb(x, [broken, rung('b', { from: 'b' })], assert.fail), /broken/)
})

test('ladder: what the environment names comes first, and nothing is started', async t => {
  environment(t, { KAFKA_BROKERS: 'one:1,two:2', SCHEMA_REGISTRY_URL: 'http://registry' })
  const told: string[] = []
  const tell = (line: string): void => void told.push(line)
  const [broker, registry] = [await findBroker(tell), await findRegistry(tell)]
  assert.ok('brokers' in broker && 'url' in registry)
  assert.deepEqual([broker.brokers, registry.url], [['one:1', 'two:2'], 'http://registry'])
  assert.ok(!('kill' in broker) && !('pid' in registry))
  assert.deepEqual(told, [
    'Kafka: the one that KAFKA_BROKERS names',
    'schema registry: the one that SCHEMA_REGISTRY_URL names',
  ])
})

const image = await startContainer({
  image: 'lorastream/there-is-no-such-image:0',
  port: 1,
  environment: () => ({}),
  ready: { path: '/' },
})
assert.ok('missing' in image)
const engine = image.missing !== 'no container engine answers'

test('ladder: an image that cannot be had is a reason, not an error', { skip: !engine && image.missing }, () => {
  assert.match(image.missing, /^lorastream\/there-is-no-such-image:0 cannot be pulled: [^\n]+$/)
})

test(
  'ladder: without a container engine and Java, the reasons are there and what to install',
  { skip: engine && 'a container engine answers' },
  async t => {
    environment(t, { KAFKA_BROKERS: '', SCHEMA_REGISTRY_URL: '', PATH: '' })
    assert.deepEqual(await findBroker(assert.fail), {
      missing:
        'no Kafka: KAFKA_BROKERS is not set, no container engine answers, "java" is not there; set KAFKA_BROKERS, start a container engine, or install Java 17 and Maven',
    })
    assert.deepEqual(await findRegistry(assert.fail), {
      missing:
        'no schema registry: SCHEMA_REGISTRY_URL is not set, no container engine answers, "java" is not there; set SCHEMA_REGISTRY_URL, start a container engine, or install Java 17 and Maven',
    })
  },
)

test('ladder: a program that is not there is a reason, one that is there and fails is an error', async t => {
  const folder = await temporaryFolder(t)
  environment(t, { PATH: folder })
  assert.equal(await missingProgram('java', '-version'), '"java" is not there')
  await writeFile(join(folder, 'java'), '#!/bin/sh\nexit 3\n', { mode: 0o755 })
  await assert.rejects(missingProgram('java', '-version'), /Command failed: java -version/)
})
