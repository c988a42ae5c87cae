import assert from 'node:assert/strict'
import { test } from 'node:test'
import { firstValueFrom, take, toArray } from 'rxjs'
import { avro } from '../../src/codec/avro.ts'
import { ConfigError, TransportError } from '../../src/errors.ts'
import { schemas } from '../../src/schemas.ts'
import { memory } from '../../src/transport/memory.ts'
import { Topics } from '../../src/transport/topics.ts'
import { transportContract } from '../contracts/transport.ts'

transportContract('memory', async () => {
  const topics = new Topics({ partitions: 2 })
  return {
    codec: avro(),
    open: async options => memory({ codec: avro(), topics, ...options }),
    append: async (topic, records, partition = 0) =>
      topics.write(records.map(record => ({ ...record, topic, partition }))),
    records: async topic => topics.records(topic),
    close: async () => {},
  }
})

test('memory: a topic that has ended completes its source once all was read', async () => {
  const transport = memory({ codec: avro() })
  await transport.produce('prompts', schemas.prompt, [{ text: 'a' }, { text: 'b' }])
  transport.topics.end('prompts')
  const messages = await firstValueFrom(transport.source('prompts', schemas.prompt).pipe(toArray()))
  assert.deepEqual(
    messages.map(({ value }) => value),
    [{ text: 'a' }, { text: 'b' }],
  )
  assert.throws(() => transport.topics.write([{ topic: 'prompts', key: null, value: null, headers: [] }]), ConfigError)
})

test('memory: a source waits for what is produced later', async () => {
  const transport = memory({ codec: avro() })
  const first = firstValueFrom(transport.source('prompts', schemas.prompt))
  await transport.produce('prompts', schemas.prompt, [{ text: 'late' }])
  assert.equal((await first).value.text, 'late')
})

test('memory: a prompt out of range is dead-lettered with its field, what was found and what was expected', async () => {
  const transport = memory({ codec: avro(), deadLetters: 'prompts.dead' })
  await transport.produce('prompts', schemas.prompt, [{ text: 'a', maxTokens: 0 }, { text: 'b' }])
  const message = await firstValueFrom(transport.source('prompts', schemas.prompt))
  assert.equal(message.value.text, 'b')
  const [letter] = transport.topics.records('prompts.dead')
  const reason = letter?.headers.find(([name]) => name === '__lorastream.errors.message')?.[1]
  assert.equal(
    new TextDecoder().decode(reason),
    'topic "prompts": Prompt.maxTokens is 0, expected an integer from 1 to 131072',
  )
})

test('memory: a topic has one source at a time', async () => {
  const transport = memory({ codec: avro() })
  const first = transport.source('prompts', schemas.prompt).subscribe()
  await assert.rejects(firstValueFrom(transport.source('prompts', schemas.prompt)), TransportError)
  first.unsubscribe()
  await transport.produce('prompts', schemas.prompt, [{ text: 'a' }])
  assert.equal((await firstValueFrom(transport.source('prompts', schemas.prompt))).value.text, 'a')
})

test('memory: an event is settled once', async () => {
  const transport = memory({ codec: avro(), deadLetters: 'prompts.dead' })
  await transport.produce('prompts', schemas.prompt, [{ text: 'a' }])
  const message = await firstValueFrom(transport.source('prompts', schemas.prompt).pipe(take(1)))
  const sink = transport.sink('notes', schemas.prompt)
  await sink.settle([{ value: { text: 'x' }, message }], [])
  await assert.rejects(sink.settle([{ value: { text: 'x' }, message }], []), /offset 0 is not open/)
  assert.equal(transport.topics.records('notes').length, 1)
})

test('memory: a codec that is out of reach writes nothing of a window', async () => {
  const plain = avro()
  let calls = 0
  const transport = memory({
    codec: (topic, schema) => {
      const serde = plain(topic, schema)
      const encode: typeof serde.encode = async value => {
        if (topic === 'out' && ++calls === 2) throw new TransportError('registry out of reach')
        return serde.encode(value)
      }
      return { decode: bytes => serde.decode(bytes), encode }
    },
  })
  await transport.produce('prompts', schemas.prompt, [{ text: 'a' }, { text: 'b' }])
  const messages = await firstValueFrom(transport.source('prompts', schemas.prompt).pipe(take(2), toArray()))
  const done = messages.map(message => ({ value: message.value, message }))
  await assert.rejects(transport.sink('out', schemas.prompt).settle(done, []), TransportError)
  assert.deepEqual(transport.topics.records('out'), [])
  assert.equal(transport.topics.committed('prompts', 0), 0n)
})

test('memory: equal keys go to one partition, records without a key go round', () => {
  const topics = new Topics({ partitions: 3 })
  const record = { topic: 't', value: null, headers: [] }
  topics.write(Array.from({ length: 6 }, () => ({ ...record, key: null })))
  const counts = new Map<number, number>()
  for (const { partition } of topics.records('t')) counts.set(partition, (counts.get(partition) ?? 0) + 1)
  assert.deepEqual([...counts.values()], [2, 2, 2])
  const key = new TextEncoder().encode('key')
  topics.write(Array.from({ length: 4 }, () => ({ ...record, topic: 'keyed', key })))
  assert.equal(new Set(topics.records('keyed').map(({ partition }) => partition)).size, 1)
})

test('memory: a record for a partition that is not there leaves the topics as they were', () => {
  const topics = new Topics()
  const record = { topic: 't', key: null, value: null, headers: [] }
  assert.throws(() => topics.write([record, { ...record, partition: 1 }]), ConfigError)
  assert.deepEqual(topics.records('t'), [])
  assert.throws(() => new Topics({ partitions: 0 }), ConfigError)
})
