import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, beforeEach, test, type TestContext } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { findBroker } from '../../infra/kafka.ts'
import { avro } from '../../src/codec/avro.ts'
import { schemas } from '../../src/schemas.ts'
import { start, type Running } from '../support/command-line.ts'
import { own } from '../support/own.ts'
import { openTopics } from './topics.ts'

const broker = await own(findBroker)

if ('missing' in broker) test('lifecycle: on a real broker', { skip: broker.missing }, () => {})
else {
  const topics = await openTopics(broker.brokers)
  await topics.create(['prompts', 'completions', 'prompts.dead'], 2)
  after(async () => {
    await topics.close()
    await broker.stop()
  })
  let group = 0
  beforeEach(async () => {
    group++
    for (const topic of ['prompts', 'completions']) await topics.empty(topic)
  })

  const serving = async (t: TestContext, ...options: readonly string[]): Promise<Service> => {
    const config = ['--config', 'test/e2e/hanging-on-kafka.ts', '--health-port', '0', '--health-host', '127.0.0.1']
    const env = { KAFKA_BROKERS: broker.brokers.join(','), KAFKA_GROUP: `lifecycle-${group}` }
    const running = start(['run', 'topologies/mixture.ts', ...config, ...options], env)
    t.after(async () => await ended(running))
    return await serviceOf(running)
  }
  const ask = async (...asked: readonly string[]): Promise<void> => {
    const serde = avro()('prompts', schemas.prompt)
    const values = await Promise.all(asked.map(async text => await serde.encode({ text })))
    await topics.append(
      'prompts',
      values.map(value => ({ key: null, value, headers: [] })),
      1,
    )
  }
  const answered = async (): Promise<number> => (await topics.records('completions')).length

  test('lifecycle: ready when the partitions are there; a hang is seen in the status, fails /livez, and the deadline says what is left', async t => {
    const service = await serving(t, '--watchdog-seconds', '3', '--drain-seconds', '1')
    const ready = await service.until('/readyz', ({ status }) => status === 200)
    assert.match(ready.text, /"partitions":\[\{"topic":"prompts","partition":0,.*"lag":0.*"partition":1/)
    await ask('first')
    await service.until('/readyz', ({ text }) => /"partition":1,"open":0,"position":1,.*"lag":0/.test(text))
    await ask('hang', 'second')
    const failing = await service.until('/livez', ({ status }) => status === 503)
    assert.match(
      failing.text,
      /STAGE_FAILED: topic \\"prompts\\" partition 1 offset 1: 2 behind, 2 events are open, and nothing was delivered or committed for 3 s/,
    )
    service.process.kill('SIGTERM')
    const { status, stderr } = await service.outcome
    assert.equal(status, 1, stderr)
    assert.match(stderr, /^STAGE_FAILED: topic "prompts" partition 1 offset 1: 2 behind/m)
    assert.match(
      stderr,
      /^TRANSPORT_FAILED: 2 events \(topic "prompts" partition 1 from offset 1\) are not answered within 1 s; they will be read again$/m,
    )
    assert.equal(await answered(), 1)
  })

  test('lifecycle: with --watchdog-exit a hang ends the process, and the next one, which need not wait for it, reads it again', async t => {
    await ask('first', 'hang', 'second')
    const hanging = await serving(t, '--watchdog-seconds', '10', '--watchdog-exit')
    const { status, stderr } = await hanging.outcome
    assert.equal(status, 1, stderr)
    assert.match(stderr, /^STAGE_FAILED: topic "prompts" partition 1 offset \d+: 3 behind, 3 events are open/m)
    const next = await serving(t)
    // Twice as patient as `until` is a session that was not left.
    await next.until('/readyz', ({ text }) => text.includes('"open":3'))
    await ended(next)
    assert.equal(await answered(), 0)
  })

  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    test(`lifecycle: while it drains it is alive and not ready, and of a second ${signal} it dies at once`, async t => {
      await ask('hang')
      const service = await serving(t, '--drain-seconds', '600')
      await service.until('/readyz', ({ text }) => text.includes('"open":1'))
      service.process.kill(signal)
      await service.until('/readyz', ({ status, text }) => status === 503 && text.includes('draining'))
      assert.equal((await service.get('/livez')).status, 200)
      service.process.kill(signal)
      const outcome = await service.outcome
      assert.equal(service.process.signalCode, signal, outcome.stderr)
      assert.equal(await answered(), 0)
    })
}

type Answer = { readonly status: number; readonly text: string }

type Service = Running & {
  get(path: string): Promise<Answer>
  /** The first answer that fits, asked for within a minute. */
  until(path: string, fits: (answer: Answer) => boolean): Promise<Answer>
}

/** Kills it where it still runs: what a test that failed leaves behind would keep this process alive. */
async function ended(running: Running): Promise<void> {
  running.process.kill('SIGKILL')
  await running.outcome
}

/** A process, once it has told its health port. Fails where it ends before. */
async function serviceOf(running: Running): Promise<Service> {
  let stderr = ''
  const { stderr: stream } = running.process
  assert.ok(stream !== null)
  stream.on('data', (text: string) => (stderr += text))
  const told = (): string | undefined => /^health: port (\d+)\D/m.exec(stderr)?.[1]
  const over = running.outcome.then(() => true)
  for (let gone = false; told() === undefined && !gone;)
    gone = await Promise.race([once(stream, 'data').then(() => false), over])
  const port = told() ?? assert.fail(`it ended before it told its port:\n${stderr}`)
  const get = async (path: string): Promise<Answer> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    return { status: response.status, text: await response.text() }
  }
  return {
    ...running,
    get,
    async until(path, fits) {
      let last: Answer | undefined
      for (let tries = 0; tries < 300; tries++) {
        last = await get(path)
        if (fits(last)) return last
        await setTimeout(200)
      }
      return assert.fail(`${path} stayed at ${last?.status}: ${last?.text}${stderr}`)
    },
  }
}
