import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { findBroker } from '../../infra/kafka.ts'
import { avro } from '../../src/codec/avro.ts'
import { ConfigError } from '../../src/errors.ts'
import { kafka } from '../../src/transport/kafka.ts'
import { transportContract } from '../contracts/transport.ts'
import { openTopics, type Topics } from '../e2e/topics.ts'
import { own } from '../support/own.ts'

const broker = await own(findBroker)

if ('missing' in broker) test('kafka: on a real broker', { skip: broker.missing }, () => {})
else {
  const { brokers } = broker
  const topics: Topics = await openTopics(brokers)
  const names = ['in', 'out', 'in.dead']
  await topics.create(names, 2)
  after(async () => {
    await topics.close()
    await broker.stop()
  })
  let groups = 0

  for (const delivery of ['exactly-once', 'at-least-once'] as const)
    transportContract(`kafka, ${delivery}`, async () => {
      const group = `contract-${process.pid}-${groups++}`
      for (const name of names) await topics.empty(name)
      return {
        codec: avro(),
        open: async options => kafka({ brokers, group, delivery, codec: avro(), log: () => {}, ...options }),
        append: (topic, records, partition = 0) => topics.append(topic, records, partition),
        records: topic => topics.records(topic),
        close: async () => {},
      }
    })
}

test('kafka: options that cannot work are refused', () => {
  const options = { brokers: ['localhost:9092'], group: 'group', codec: avro() }
  for (const [wrong, says] of [
    [{ group: '' }, /group is empty/],
    [{ brokers: [] }, /brokers is ""/],
    [{ brokers: ['localhost'] }, /brokers is "localhost", expected host:port/],
    [{ sessionTimeoutMs: 10 }, /sessionTimeoutMs is 10/],
    [{ maxInFlight: 0 }, /maxInFlight is 0/],
  ] as const)
    assert.throws(
      () => kafka({ ...options, ...wrong }),
      (error: unknown) => error instanceof ConfigError && says.test(error.message),
    )
})
