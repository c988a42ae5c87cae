import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { findServices } from '../../infra/services.ts'
import { registry } from '../../src/codec/registry.ts'
import type { Completion } from '../../src/events.ts'
import { schemas } from '../../src/schemas.ts'
import { start, type Running } from '../support/command-line.ts'
import { own } from '../support/own.ts'
import { findKcat } from './clients/kcat.ts'
import { findPython } from './clients/python.ts'
import { openTopics } from './topics.ts'

const [services, python] = await Promise.all([own(findServices), findPython()])

if ('missing' in services) test("clients: other people's on a real broker", { skip: services.missing }, () => {})
else {
  const kcat = await findKcat(services.brokers)
  const env = {
    KAFKA_BROKERS: services.brokers.join(','),
    KAFKA_GROUP: 'clients',
    SCHEMA_REGISTRY_URL: services.registry,
  }
  const topics = await openTopics(services.brokers)
  let instance: Running | undefined
  before(async () => {
    await topics.create(['prompts', 'completions', 'prompts.dead'], 3)
    instance = start(['run', 'topologies/mixture.ts', '--config', 'test/e2e/echo-on-kafka.ts'], env)
  })
  after(async () => {
    instance?.process.kill('SIGTERM')
    await instance?.outcome
    await topics.close()
    await services.stop()
  })

  /** What Python printed, a line of JSON each. */
  function lines<T>(stdout: string): readonly Line<T>[] {
    const all = stdout.trimEnd().split('\n')
    // The lines are our own program's; what the tests say of them fails when they are not.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    return all.map(line => JSON.parse(line) as Line<T>)
  }
  type Line<T> = { readonly key: string; readonly headers: Readonly<Record<string, string>>; readonly value: T }

  const noPython = 'missing' in python ? `NOT TESTED WITH PYTHON: ${python.missing}` : false
  test(
    "clients: Python's confluent-kafka produces prompts, and reads completions and dead letters",
    { skip: noPython },
    async () => {
      assert.ok(!('missing' in python))
      const schema = readFileSync('schemas/prompt.avsc', 'utf8')
      await topics.append('prompts', [{ key: Buffer.from('bad'), value: Buffer.from('not Avro'), headers: [] }], 1)
      await python(['produce', 'prompts', '20', schema], env)
      const completions = lines<Completion>(await python(['consume', 'completions', '20'], env))
      assert.deepEqual(
        new Set(completions.map(({ key, headers }) => `${key} ${headers['traceparent']}`)),
        new Set(Array.from({ length: 20 }, (_, number) => `python-${number} trace-${number}`)),
      )
      for (const { key, value } of completions) {
        assert.ok(value.text.startsWith(`${key.replace('-', ' ')} [`), value.text)
        assert.deepEqual(value.metadata, { client: 'confluent-kafka' })
        assert.deepEqual(value.provenance.pool, { epoch: 1, size: 4 })
      }
      const [letter] = lines<string>(await python(['raw', 'prompts.dead', '1'], env))
      assert.equal(letter?.key, 'bad')
      assert.equal(Buffer.from(letter.value, 'base64').toString(), 'not Avro')
      assert.equal(letter.headers['__lorastream.errors.code'], 'SCHEMA_MISMATCH')
      assert.equal(letter.headers['__lorastream.errors.partition'], '1')
    },
  )

  const noKcat = 'missing' in kcat ? `NOT TESTED WITH KCAT: ${kcat.missing}` : false
  test('clients: kcat produces prompts, and reads completions and dead letters', { skip: noKcat }, async () => {
    assert.ok(!('missing' in kcat))
    const codec = registry({ url: env.SCHEMA_REGISTRY_URL })
    const prompt = await codec('prompts', schemas.prompt).encode({ text: 'from the shell' })
    await kcat.produce('prompts', 'shell', prompt, ['traceparent=trace-shell'])
    await kcat.produce('prompts', 'bad-shell', Buffer.from('not Avro\n'), ['origin=kcat'])
    const completion = await found(() => kcat.consume('completions'), 'shell')
    assert.equal(completion.headers.get('traceparent'), 'trace-shell')
    const { text } = await codec('completions', schemas.completion).decode(completion.value)
    assert.match(text, /^from the shell \[/)
    const letter = await found(() => kcat.consume('prompts.dead'), 'bad-shell')
    assert.equal(letter.value.toString(), 'not Avro\n')
    assert.equal(letter.headers.get('origin'), 'kcat')
    assert.equal(letter.headers.get('__lorastream.errors.code'), 'SCHEMA_MISMATCH')
  })

  /** The record with a key, once it is there. */
  async function found<R extends { readonly key: string }>(read: () => Promise<readonly R[]>, key: string): Promise<R> {
    for (const end = Date.now() + 60_000; Date.now() < end;) {
      const record = (await read()).find(one => one.key === key)
      if (record !== undefined) return record
    }
    return assert.fail(`no record with the key "${key}" within a minute`)
  }
}
