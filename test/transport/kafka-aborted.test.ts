import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Kafka, logLevel, type Producer, type Transaction } from 'kafkajs'
import { firstValueFrom, take, toArray } from 'rxjs'
import { findBroker } from '../../infra/kafka.ts'
import { avro } from '../../src/codec/avro.ts'
import { hideAborted, type Fetched } from '../../src/transport/kafka-aborted.ts'
import { kafka } from '../../src/transport/kafka.ts'
import { note } from '../contracts/transport-harness.ts'
import { openTopics } from '../e2e/topics.ts'
import { own } from '../support/own.ts'

function data(offset: number, producerId: string, key: Buffer | null = null): Fetched {
  const batchContext = { producerId, inTransaction: producerId !== '-1', isControlBatch: false }
  return { offset: String(offset), key, isControlRecord: false, batchContext }
}

function marker(offset: number, producerId: string, type: 0 | 1): Fetched {
  const batchContext = { producerId, inTransaction: true, isControlBatch: true }
  return { offset: String(offset), key: Buffer.from([0, 0, 0, type]), isControlRecord: true, batchContext }
}

/** Offsets of the data that is delivered. */
function shown(records: readonly Fetched[], aborted: Parameters<typeof hideAborted>[1]): readonly number[] {
  hideAborted(records, aborted)
  return records.filter(({ isControlRecord }) => !isControlRecord).map(({ offset }) => Number(offset))
}

test('aborted: of transactions that overlap nothing passes, in whatever order the broker lists them', () => {
  const log = () => [data(0, 'a'), data(1, 'b'), data(2, '-1'), marker(3, 'b', 0), data(4, 'a'), marker(5, 'a', 0)]
  const [a, b] = [
    { producerId: 'a', firstOffset: '0' },
    { producerId: 'b', firstOffset: '1' },
  ]
  assert.deepEqual(shown(log(), [b, a]), [2])
  assert.deepEqual(shown(log(), [a, b]), [2])
})

test('aborted: what a producer commits before and after a transaction that it gives up is delivered', () => {
  const log = [data(0, 'a'), marker(1, 'a', 1), data(2, 'a'), marker(3, 'a', 0), data(4, 'a'), marker(5, 'a', 1)]
  assert.deepEqual(shown(log, [{ producerId: 'a', firstOffset: '2' }]), [0, 4])
})

test('aborted: several may have begun before the first record of a fetch', () => {
  const log = [data(10, 'b'), data(11, 'a'), marker(12, 'b', 0), data(13, 'b'), marker(14, 'a', 0), marker(15, 'b', 1)]
  const aborted = [
    { producerId: 'b', firstOffset: '4' },
    { producerId: 'a', firstOffset: '2' },
  ]
  assert.deepEqual(shown(log, aborted), [13])
})

test('aborted: a key that looks like a marker is none', () => {
  const log = [data(0, 'a', Buffer.from([0, 0, 0, 0])), data(1, 'a'), marker(2, 'a', 0)]
  assert.deepEqual(shown(log, [{ producerId: 'a', firstOffset: '0' }]), [])
})

test('aborted: records from before transactions are delivered', () => {
  const old: Fetched = { offset: '0', key: null, isControlRecord: false }
  assert.deepEqual(shown([old], [{ producerId: 'a', firstOffset: '0' }]), [0])
})

const broker = await own(findBroker)

if ('missing' in broker) test('aborted: on a real broker', { skip: broker.missing }, () => {})
else
  test('aborted: neither the source nor a reader of kafkajs in this process is given prompts of overlapping aborted transactions', async t => {
    const topics = await openTopics(broker.brokers)
    t.after(async () => {
      await topics.close()
      await broker.stop()
    })
    await topics.create(['prompts', 'prompts.dead'], 1)
    const client = new Kafka({ brokers: [...broker.brokers], logLevel: logLevel.NOTHING })
    const producer = async (transactionalId: string): Promise<Producer> => {
      const opened = client.producer({ transactionalId, maxInFlightRequests: 1, idempotent: true })
      await opened.connect()
      t.after(() => opened.disconnect())
      return opened
    }
    const codec = avro()
    const serde = codec('prompts', note)
    const send = async (to: Pick<Transaction, 'send'>, text: string): Promise<void> => {
      const value = Buffer.from(await serde.encode({ text }))
      await to.send({ topic: 'prompts', messages: [{ value }] })
    }
    const [one, other] = [await producer('one'), await producer('other')]
    const [first, second] = [await one.transaction(), await other.transaction()]
    await send(first, 'aborted, and the last to end')
    await send(second, 'aborted')
    await second.abort()
    // Brokers mark an end after they have answered; a producer's next transaction begins behind its mark.
    const third = await other.transaction()
    await send(third, 'committed')
    await first.abort()
    await third.commit()

    const transport = kafka({ brokers: broker.brokers, group: 'aborted', codec, deadLetters: 'prompts.dead' })
    t.after(() => transport.close())
    const [read] = await firstValueFrom(transport.source('prompts', note).pipe(take(1), toArray()))
    assert.equal(read?.value.text, 'committed')
    const records = await topics.records('prompts')
    assert.deepEqual(
      records.map(({ offset }) => offset),
      [3n],
    )
  })
