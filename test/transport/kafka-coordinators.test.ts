import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { findBroker } from '../../infra/kafka.ts'
import { openKafka } from '../../src/transport/kafka-client.ts'
import { rememberCoordinators } from '../../src/transport/kafka-coordinators.ts'
import { claim, writeTransaction } from '../../src/transport/kafka-transaction.ts'
import { openTopics } from '../e2e/topics.ts'
import { own } from '../support/own.ts'

test('coordinators: a client that is laid out in another way is refused', () => {
  assert.throws(() => rememberCoordinators({}), /createCluster, expected version 2\.2\.4/)
})

const broker = await own(findBroker)

if ('missing' in broker) test('coordinators: on a real broker', { skip: broker.missing }, () => {})
else
  test('coordinators: each is asked for once, however many transactions a producer writes', async t => {
    const topics = await openTopics(broker.brokers)
    t.after(async () => {
      await topics.close()
      await broker.stop()
    })
    await topics.create(['prompts', 'completions'], 1)
    /** Three transactions; how often it was asked where a coordinator is, after the claim. Then one that the broker refuses. */
    const write = async (remembers: boolean): Promise<number> => {
      const client = await openKafka({ brokers: broker.brokers })
      const coordinators = rememberCoordinators(client)
      const producer = client.producer({ transactionalId: 'one', maxInFlightRequests: 1 })
      let asked = 0
      producer.on(
        'producer.network.request',
        ({ payload }) => (asked += payload.apiName === 'GroupCoordinator' ? 1 : 0),
      )
      try {
        await producer.connect()
        const place = { topic: 'prompts', partition: 0 }
        await claim(producer, 'group', place)
        asked = 0
        if (remembers) coordinators.remember()
        for (const next of [1n, 2n, 3n]) {
          const record = { topic: 'completions', key: null, value: Buffer.from(String(next)), headers: [] }
          await writeTransaction(producer, [record], 'group', { ...place, next }, () => {})
        }
        const count = asked
        const large = { topic: 'completions', key: null, value: Buffer.alloc(2 ** 21), headers: [] }
        const failing = writeTransaction(producer, [large], 'group', { ...place, next: 4n }, () => {
          coordinators.forget()
          asked = 0
        })
        await assert.rejects(failing, { type: 'MESSAGE_TOO_LARGE' })
        // The end of the transaction is asked for where its coordinator is now.
        assert.equal(asked, 1)
        return count
      } finally {
        await producer.disconnect()
      }
    }
    // A broker that has just begun makes the topics of its coordinators, and has none until then.
    for (let attempt = 1; ; attempt += 1)
      try {
        await write(false)
        break
      } catch (error) {
        if (attempt === 20) throw error
        await setTimeout(500)
      }
    // One of transactions, one of groups.
    assert.equal(await write(true), 2)
    const forgetful = await write(false)
    assert.ok(forgetful >= 12, `${forgetful} requests`)
    const written = await topics.records('completions')
    assert.deepEqual(
      written.slice(-9).map(({ value }) => String(value)),
      ['1', '2', '3', '1', '2', '3', '1', '2', '3'],
    )
  })
