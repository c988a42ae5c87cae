import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Kafka, logLevel } from 'kafkajs'
import { kafka, registry, run, schemas } from 'lorastream'
import { firstValueFrom } from 'rxjs'
import { findServices } from '../../infra/services.ts'
import topology from '../../topologies/mixture.ts'
import { adapter, echoEngine, fixedPool } from '../support/fakes.ts'
import { own } from '../support/own.ts'

// A topology on a real broker and registry, as an integration test of your own may have it; docs/deploy.md tells what to
// change there: where the services come from, and which pool and engine.
test('integration: a prompt becomes a completion with its provenance', async t => {
  const services = await own(findServices)
  if ('missing' in services) return t.skip(services.missing)
  t.after(() => services.stop())
  const { brokers } = services
  const codec = registry({ url: services.registry })

  const client = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING })
  const [admin, producer] = [client.admin(), client.producer()]
  await Promise.all([admin.connect(), producer.connect()])
  await admin.createTopics({ topics: [{ topic: 'prompts' }, { topic: 'completions' }], waitForLeaders: true })
  const value = Buffer.from(await codec('prompts', schemas.prompt).encode({ id: 'q1', text: 'Is this a test?' }))
  await producer.send({ topic: 'prompts', messages: [{ value }] })
  await Promise.all([admin.disconnect(), producer.disconnect()])

  const parts = { pool: fixedPool(['yes', 'no', 'maybe'].map(id => adapter(id))), engine: echoEngine() }
  const stop = new AbortController()
  const running = run(topology, { transport: kafka({ brokers, group: 'test', codec }), ...parts }, stop)
  const reader = kafka({ brokers, group: 'reader', codec })
  const { value: completion } = await firstValueFrom(reader.source('completions', schemas.completion))
  stop.abort()
  await Promise.all([running, reader.close()])

  assert.equal(completion.promptId, 'q1')
  assert.equal(completion.provenance.strategy, 'MIXTURE')
  assert.deepEqual(completion.provenance.adapters.map(({ id }) => id).toSorted(), ['maybe', 'no', 'yes'])
})
