import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import * as infra from '../../infra/demo.ts'
import type { Infra } from '../../src/cli/demo-infra.ts'
import { lorastream, start } from '../support/command-line.ts'
import { own } from '../support/own.ts'
import { openTopics, type Topics } from './topics.ts'

// The demo loads infra by its path, so the compiler compares the two only here.
const loaded: Infra = infra
const services = await own(async () => await loaded.findServices(line => void process.stderr.write(`${line}\n`)))

const demo = ['demo', '--kafka', '--config', 'test/support/echo-config.ts']

if ('missing' in services) test('demo: on a real broker', { skip: services.missing }, () => {})
else {
  const { brokers, registry } = services
  const topics: Topics = await openTopics(brokers)
  after(async () => {
    await topics.close()
    await services.stop()
  })
  const env = { KAFKA_BROKERS: brokers.join(','), SCHEMA_REGISTRY_URL: registry }

  /** What a demo could leave behind. */
  async function left(): Promise<readonly (readonly string[])[]> {
    const { groups } = await topics.admin.listGroups()
    const subjects: unknown = await (await fetch(`${registry}/subjects`)).json()
    assert.ok(Array.isArray(subjects))
    return [
      (await topics.admin.listTopics()).filter(topic => !topic.startsWith('__')),
      groups.map(({ groupId }) => groupId),
      subjects.map(String),
    ]
  }

  test('demo --kafka: the report of the demo, from completions that were read back, and nothing is left', async () => {
    const { status, stdout, stderr } = await lorastream(demo, { env })
    assert.equal(status, 0, stderr)
    assert.match(stderr, /^ {2}Kafka: the one that KAFKA_BROKERS names$/m)
    assert.match(stderr, /^created: topics prompts, completions, prompts\.dead, 6 partitions each, at \S+$/m)
    assert.match(stderr, /^registered: schemas prompts-value, completions-value, at \S+$/m)
    assert.match(stdout, /^window 1: \d+ prompts, closed by [A-Z]+, \d+ adapters, /m)
    assert.match(stdout, /^ {2}answers +38 of 38 prompts in \d windows, 0 failed$/m)
    assert.equal(stdout.match(/^ {2}adapters +[a-z_]+ 0\.33/gm)?.length, 38)
    assert.ok(Math.max(...stdout.split('\n').map(line => line.length)) <= 100)
    assert.deepEqual(await left(), [[], [], []])
  })

  test('demo --kafka --json: a completion a line, each from its own offset, and nothing is left', async () => {
    const { status, stdout, stderr } = await lorastream([...demo, '--json', '--k', '1'], { env })
    assert.equal(status, 0, stderr)
    const ids = stdout.trim().split('\n')
    const sources = ids.map(line => /"id":"(prompts-\d-\d+)"/.exec(line)?.[1])
    assert.equal(new Set(sources).size, 38)
    assert.deepEqual(await left(), [[], [], []])
  })

  test('demo --kafka: an interrupt removes what was made, and ends it', async () => {
    const running = start([...demo, '--json'], env)
    await topicsThere()
    running.process.kill('SIGINT')
    const { stderr } = await running.outcome
    // Killed by it, or, where nothing was running yet, with its status.
    assert.ok(running.process.signalCode === 'SIGINT' || running.process.exitCode === 130, stderr)
    assert.match(stderr, /^removing topics, schemas and groups of the demo, and what it started$/m)
    const [names, , subjects] = await left()
    assert.deepEqual([names, subjects], [[], []])
  })

  async function topicsThere(): Promise<void> {
    for (let tries = 0; tries < 2400; tries++) {
      if ((await topics.admin.listTopics()).includes('prompts')) return
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    assert.fail('no topics within two minutes')
  }

  test('demo --kafka: a cluster that has topics of these names is left as it is', async () => {
    await topics.create(['completions'], 1)
    const { status, stdout, stderr } = await lorastream(demo, { env })
    assert.deepEqual([status, stdout], [1, ''])
    assert.match(stderr, /^CONFIG_INVALID: \S+ has completions, expected a cluster without: [^\n]+$/m)
    assert.deepEqual((await left())[0], ['completions'])
  })
}

test('demo --kafka: a broker that does not answer is one coded line', async () => {
  const env = { KAFKA_BROKERS: '127.0.0.1:1', SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1' }
  const { status, stdout, stderr } = await lorastream(demo, { env })
  assert.deepEqual([status, stdout], [1, ''])
  assert.match(stderr, /^TRANSPORT_FAILED: 127\.0\.0\.1:1: no broker answers: [^\n]+$/m)
})
