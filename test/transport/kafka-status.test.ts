import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { Kafka, logLevel } from 'kafkajs'
import { firstValueFrom, take, toArray } from 'rxjs'
import { findBroker } from '../../infra/kafka.ts'
import { avro } from '../../src/codec/avro.ts'
import { TransportError } from '../../src/errors.ts'
import type { Codec, Transport, TransportStatus } from '../../src/ports.ts'
import { kafka } from '../../src/transport/kafka.ts'
import { answerTo, note } from '../contracts/transport-harness.ts'
import { openTopics } from '../e2e/topics.ts'
import { own } from '../support/own.ts'

const broker = await own(findBroker)

if ('missing' in broker) test('kafka: its status, on a real broker', { skip: broker.missing }, () => {})
else {
  const { brokers } = broker
  const topics = await openTopics(brokers)
  after(async () => {
    await topics.close().catch(() => {})
    await broker.stop()
  })
  const value = Buffer.from(await avro()('in', note).encode({ text: 'a' }))
  const opened = (group: string, codec: Codec = avro()): Transport =>
    kafka({ brokers, group, codec, deadLetters: 'dead', log: () => {} })

  test('kafka: the status tells what is open and behind, and marks of transactions and aborted records are not behind', async t => {
    await topics.create(['marked', 'out', 'dead'], 1)
    const transport = opened('marked')
    t.after(() => transport.close())
    assert.deepEqual(await transport.status?.(), {
      joined: false,
      partitions: [],
      inFlight: { events: 0, bytes: 0 },
      retrying: [],
    })
    await inTransactions('marked', ['commit', 'commit', 'abort'])
    const [first, second] = await firstValueFrom(transport.source('marked', note).pipe(take(2), toArray()))
    const open = await until(transport, ({ inFlight }) => inFlight.events === 2)
    const [partition] = open.partitions
    assert.deepEqual([partition?.open, partition?.position, partition?.end, partition?.lag], [2, 0, 6, 6])
    assert.ok(open.lastDelivery !== undefined && open.lastCommit === undefined)
    await transport.sink('out', note).settle([answerTo(first), answerTo(second)], [])
    assert.ok((await until(transport, ({ inFlight }) => inFlight.events === 0)).lastCommit !== undefined)
  })

  test('kafka: with nothing open, what holds no event for us is not behind', async t => {
    await topics.create(['quiet'], 1)
    await inTransactions('quiet', ['abort'])
    const transport = opened('quiet')
    t.after(() => transport.close())
    const subscription = transport.source('quiet', note).subscribe()
    t.after(() => subscription.unsubscribe())
    const { partitions } = await until(transport, status => status.partitions[0]?.lag === 0)
    assert.deepEqual(
      partitions.map(({ position, read, end }) => [position, read, end]),
      [[0, 2, 2]],
    )
  })

  test('kafka: what is tried again is in the status, since when and why, until it succeeds', async t => {
    await topics.create(['tried'], 1)
    await topics.append('tried', [{ key: null, value, headers: [] }])
    let away = true
    const codec: Codec = (topic, schema) => {
      const serde = avro()(topic, schema)
      return {
        ...serde,
        decode: async bytes => {
          if (away) throw new TransportError('the registry is away')
          return await serde.decode(bytes)
        },
      }
    }
    const transport = opened('tried', codec)
    t.after(() => transport.close())
    const message = firstValueFrom(transport.source('tried', note))
    const { retrying } = await until(transport, status => (status.retrying[0]?.attempts ?? 0) > 1)
    const [trouble] = retrying
    assert.deepEqual(
      [retrying.length, trouble?.what, trouble?.reason],
      [1, 'topic "tried" partition 0 offset 0', 'the registry is away'],
    )
    assert.ok(trouble !== undefined && trouble.since <= Date.now())
    away = false
    await message
    assert.deepEqual((await until(transport, ({ inFlight }) => inFlight.events === 1)).retrying, [])
  })

  const lives = broker.kill === undefined && 'NOT TESTED: the broker is in a container, which cannot be killed'
  test('kafka: a cluster that does not answer is told within seconds', { skip: lives }, async t => {
    await topics.create(['gone'], 1)
    const transport = opened('gone')
    t.after(() => transport.close())
    const subscription = transport.source('gone', note).subscribe()
    t.after(() => subscription.unsubscribe())
    await until(transport, ({ joined, unreachable }) => joined && unreachable === undefined)
    await broker.kill?.()
    const { unreachable } = await until(transport, status => status.unreachable !== undefined)
    assert.match(unreachable ?? '', /ECONNREFUSED|connect|no answer/i)
  })

  /** A record in each transaction, which leaves a mark of its own behind it. */
  async function inTransactions(topic: string, ends: readonly ('commit' | 'abort')[]): Promise<void> {
    const client = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING })
    const producer = client.producer({ transactionalId: `writer-of-${topic}`, maxInFlightRequests: 1 })
    await producer.connect()
    for (const end of ends) {
      const transaction = await producer.transaction()
      await transaction.send({ topic, messages: [{ value }] })
      await transaction[end]()
    }
    await producer.disconnect()
  }
}

async function until(transport: Transport, fits: (status: TransportStatus) => boolean): Promise<TransportStatus> {
  let last: TransportStatus | undefined
  for (let tries = 0; tries < 300; tries++) {
    last = await transport.status?.()
    if (last !== undefined && fits(last)) return last
    await setTimeout(100)
  }
  return assert.fail(`the status stayed at ${JSON.stringify(last)}`)
}
