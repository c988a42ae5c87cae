import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import { findBroker } from '../../infra/kafka.ts'
import { lorastream } from '../support/command-line.ts'
import { temporaryFolder } from '../support/peft-files.ts'
import { openTopics } from './topics.ts'

const broker = await findBroker()

test('bench transport: without a cluster in the environment it says what is missing', async () => {
  for (const name of ['transport', 'transport-memory']) {
    const { status, stdout, stderr } = await lorastream(['bench', name], { env: { KAFKA_BROKERS: '' } })
    assert.deepEqual([status, stdout], [1, ''])
    assert.match(stderr, /^CONFIG_INVALID: environment variable KAFKA_BROKERS is not set, expected a value\n$/)
  }
})

if ('missing' in broker) test('bench transport: on a real broker', { skip: broker.missing }, () => {})
else {
  const topics = await openTopics(broker.brokers)
  after(async () => {
    await topics.close()
    await broker.stop()
  })
  const env = { KAFKA_BROKERS: broker.brokers.join(','), SCHEMA_REGISTRY_URL: '' }

  /** The one object that a case prints as JSON; its topics are gone by then. */
  async function bench(args: readonly string[]): Promise<ReadonlyMap<string, unknown>> {
    const before = await topics.admin.listTopics()
    const { status, stdout, stderr } = await lorastream(['bench', ...args, '--json'], { env })
    assert.equal(status, 0, stderr)
    const left = (await topics.admin.listTopics()).filter(topic => topic.startsWith('lorastream-bench-'))
    assert.deepEqual(
      left.filter(topic => !before.includes(topic)),
      [],
    )
    const found: unknown = JSON.parse(stdout)
    assert.ok(typeof found === 'object' && found !== null)
    return new Map(Object.entries(found))
  }

  function numberOf(found: ReadonlyMap<string, unknown>, name: string): number {
    const value = found.get(name)
    assert.ok(typeof value === 'number' && Number.isFinite(value), `${name} is ${String(value)}, expected a number`)
    return value
  }

  test('bench transport: rates, processor time and latencies of every kind of loop, and their ratios', async () => {
    const asked = { windows: 12, size: 4, partitions: 2, rounds: 1, paced: 10 }
    const options = Object.entries(asked).flatMap(([name, value]) => [`--${name}`, String(value)])
    const found = await bench(['transport', ...options, '--per-second', '50'])
    for (const [name, value] of Object.entries({ case: 'transport', codec: 'avro', ...asked }))
      assert.equal(found.get(name), value, name)
    for (const kind of ['bare', 'bareCodec', 'atLeastOnce', 'bareTransactional', 'exactlyOnce', 'fiveStages']) {
      for (const figure of ['PerSecond', 'CpuMs', 'P50Ms']) assert.ok(numberOf(found, kind + figure) > 0, kind + figure)
      assert.ok(numberOf(found, `${kind}P99Ms`) >= numberOf(found, `${kind}P50Ms`))
    }
    const ratio = numberOf(found, 'atLeastOncePerSecond') / numberOf(found, 'bareCodecPerSecond')
    assert.ok(Math.abs(numberOf(found, 'ratioToBareCodec') - ratio) <= 1e-3 * ratio)
    numberOf(found, 'exactlyOnceAddsMs')
  })

  test('bench transport-memory: ten tenths of a run, and what grew from the second to the last', async () => {
    const found = await bench(['transport-memory', '--events', '3200', '--size', '16', '--delivery', 'at-least-once'])
    assert.deepEqual([found.get('events'), found.get('delivery')], [3200, 'at-least-once'])
    for (let tenth = 1; tenth <= 10; tenth += 1) assert.ok(numberOf(found, `tenth${tenth}Mb`) > 10)
    const growth = 100 * (numberOf(found, 'tenth10Mb') / numberOf(found, 'tenth2Mb') - 1)
    assert.ok(Math.abs(numberOf(found, 'growthPercent') - growth) < 1e-3)
  })

  test('bench transport-model: windows on Kafka and in memory with the same model', async t => {
    const model = [
      '--model',
      'test/fixtures/golden/tiny-llama',
      '--template',
      'raw',
      '--cache',
      await temporaryFolder(t),
    ]
    const parts = ['--encoder', 'test/fixtures/encoder/tiny', '--adapters', 'test/fixtures/golden/adapters']
    const options = ['--windows', '3', '--size', '2', '--new-tokens', '2', '--repeats', '1', '--prompts', await file(t)]
    const found = await bench(['transport-model', ...options, ...model, ...parts])
    for (const name of ['ms', 'memoryMs', 'ratioToMemory', 'publishMs', 'publishPercent'])
      assert.ok(numberOf(found, name) > 0, name)
    for (const name of ['outsideEnginePercent', 'memoryOutsideEnginePercent'])
      assert.ok(numberOf(found, name) < 100, name)
  })

  async function file(t: TestContext): Promise<string> {
    const path = join(await temporaryFolder(t), 'prompts.jsonl')
    await writeFile(path, '{"text":"one"}\n{"text":"two"}\n')
    return path
  }
}
