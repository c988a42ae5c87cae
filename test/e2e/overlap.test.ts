import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findBroker } from '../../infra/kafka.ts'
import { avro } from '../../src/codec/avro.ts'
import { schemas } from '../../src/schemas.ts'
import { kafka } from '../../src/transport/kafka.ts'
import { numbered, overlapping, windowsOf } from '../support/overlap.ts'
import { own } from '../support/own.ts'
import { openTopics } from './topics.ts'

const broker = await own(findBroker)

if ('missing' in broker) test('overlap: on a real broker', { skip: broker.missing }, () => {})
else
  test(
    'overlap: on Kafka too a window is inferred and another retrieved while one is committed',
    { timeout: 180_000 },
    async t => {
      const topics = await openTopics(broker.brokers)
      t.after(async () => {
        await topics.close()
        await broker.stop()
      })
      const names = { prompts: 'overlap.prompts', completions: 'overlap.completions' }
      await topics.create(Object.values(names), 1)
      const codec = avro()
      const serde = codec(names.prompts, schemas.prompt)
      const values = await Promise.all(numbered(5).map(prompt => serde.encode(prompt)))
      await topics.append(
        names.prompts,
        values.map(value => ({ key: null, value, headers: [] })),
      )
      const transport = kafka({ brokers: broker.brokers, group: 'overlap', codec })
      const order = await overlapping(transport, names, 5, t.signal)
      for (const step of ['retrieve', 'infer', 'commit'] as const)
        assert.deepEqual(windowsOf(order, step), [1, 2, 3, 4, 5], step)
      assert.equal((await topics.records(names.completions)).length, 5)
    },
  )
