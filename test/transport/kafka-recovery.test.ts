import assert from 'node:assert/strict'
import { after, test, type TestContext } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { firstValueFrom, take, toArray } from 'rxjs'
import { findBroker } from '../../infra/kafka.ts'
import { avro } from '../../src/codec/avro.ts'
import { TransportError } from '../../src/errors.ts'
import type { Message } from '../../src/events.ts'
import type { Codec, RawRecord } from '../../src/ports.ts'
import { kafka, type KafkaOptions } from '../../src/transport/kafka.ts'
import { answerTo, note, texts, type Note } from '../contracts/transport-harness.ts'
import { openTopics, type Topics } from '../e2e/topics.ts'
import { own } from '../support/own.ts'

const broker = await own(findBroker)

if ('missing' in broker) test('kafka: recovery on a real broker', { skip: broker.missing }, () => {})
else {
  const { brokers } = broker
  const topics: Topics = await openTopics(brokers)
  after(async () => {
    await topics.close()
    await broker.stop()
  })
  let names = 0

  /** Topics of its own for a test, in a group of its own. */
  async function fresh(t: TestContext, partitions: number) {
    const name = `recovery-${names++}`
    const [input, output, dead] = [`${name}.in`, `${name}.out`, `${name}.dead`]
    await topics.create([input, output, dead], partitions)
    const log: string[] = []
    const open = (options: Partial<KafkaOptions> = {}) => {
      const all = { brokers, group: name, codec: avro(), deadLetters: dead, log: (line: string) => void log.push(line) }
      const transport = kafka({ ...all, ...options })
      t.after(() => transport.close())
      return transport
    }
    return { input, output, dead, open, log }
  }

  async function notes(values: readonly string[]): Promise<readonly RawRecord[]> {
    const serde = avro()('in', note)
    return Promise.all(values.map(async text => ({ key: null, value: await serde.encode({ text }), headers: [] })))
  }

  async function eventually(holds: () => boolean): Promise<void> {
    for (let tries = 0; !holds(); tries++) {
      assert.ok(tries < 300, 'not within 15 s')
      await setTimeout(50)
    }
  }

  for (const onOutOfRange of ['fail', 'earliest', 'latest'] as const)
    test(`kafka: where retention was faster than the group: ${onOutOfRange}`, async t => {
      const { input, output, open } = await fresh(t, 1)
      await topics.append(input, await notes(['a', 'b', 'c', 'd', 'e']))
      const first = open()
      const [a] = await firstValueFrom(first.source(input, note).pipe(take(1), toArray()))
      await first.sink(output, note).settle([answerTo(a)], [])
      await first.close()
      await topics.deleteBefore(input, 0, 3)
      const second = open({ onOutOfRange })
      const next = firstValueFrom(second.source(input, note))
      if (onOutOfRange === 'fail')
        await assert.rejects(next, (error: unknown) => {
          assert.ok(error instanceof TransportError)
          assert.match(error.message, /partition 0: the committed position 1 is out of range, the broker has 3 to 5/)
          return true
        })
      else {
        if (onOutOfRange === 'latest') {
          // Behind its end, once it has looked where that is.
          await setTimeout(3000)
          await topics.append(input, await notes(['f']))
        }
        assert.equal((await next).value.text, onOutOfRange === 'earliest' ? 'd' : 'f')
      }
      await second.close()
      const offsets = await topics.admin.fetchOffsets({ groupId: input.replace('.in', ''), topics: [input] })
      assert.equal(offsets[0]?.partitions[0]?.offset, '1', 'nothing is committed that was not answered')
    })

  test('kafka: retention that overtakes a reader stops it with the range', async t => {
    const { input, open } = await fresh(t, 1)
    await topics.append(input, await notes(['a', 'b', 'c', 'd']))
    // One at a time, and the first is held.
    const transport = open({ maxInFlight: 1 })
    const seen: Message<Note>[] = []
    const ended = new Promise<unknown>(resolve =>
      transport.source(input, note).subscribe({ next: message => seen.push(message), error: resolve }),
    )
    await eventually(() => seen.length === 1)
    await topics.append(input, await notes(['e', 'f']))
    await topics.deleteBefore(input, 0, 6)
    await topics.append(input, await notes(['g']))
    for (let at = 0; at < 4; at++) {
      await eventually(() => seen.length > at)
      await transport.sink(input.replace('.in', '.out'), note).settle([answerTo(seen[at])], [])
    }
    const error = await ended
    assert.ok(error instanceof TransportError, String(error))
    assert.match(error.message, /committed position [34] is out of range, the broker has 6 to 7/)
    await transport.close()
  })

  test('kafka: a codec that is out of reach holds the source back, and nothing is dead-lettered', async t => {
    const { input, dead, open, log } = await fresh(t, 1)
    await topics.append(input, await notes(['a', 'b']))
    let calls = 0
    const flaky: Codec = (topic, schema) => {
      const serde = avro()(topic, schema)
      return {
        encode: value => serde.encode(value),
        decode: async bytes => {
          if (++calls <= 3) throw new TransportError('registry out of reach')
          return await serde.decode(bytes)
        },
      }
    }
    const transport = open({ codec: flaky })
    assert.deepEqual(texts(await firstValueFrom(transport.source(input, note).pipe(take(2), toArray()))), ['a', 'b'])
    await transport.close()
    assert.equal(log.filter(line => line.includes('offset 0: registry out of reach; trying again')).length, 3)
    assert.deepEqual(await topics.records(dead), [])
  })

  test('kafka: at least once, positions follow the answers, and an orderly end leaves none behind', async t => {
    const { input, output, open } = await fresh(t, 2)
    const group = input.replace('.in', '')
    for (const partition of [0, 1]) await topics.append(input, await notes(['a', 'b', 'c']), partition)
    const committed = async () => [...(await topics.positions(group, input))].toSorted(([a], [b]) => a - b)
    const first = open({ delivery: 'at-least-once' })
    const seen: Message<Note>[] = []
    const ended = new Promise<void>((resolve, reject) =>
      first.source(input, note).subscribe({ next: one => seen.push(one), error: reject, complete: resolve }),
    )
    await eventually(() => seen.length === 6)
    const sink = first.sink(output, note)
    const of = (partition: number): readonly Message<Note>[] =>
      seen.filter(({ origin }) => origin.partition === partition)
    await sink.settle(of(0).slice(0, 1).map(answerTo), [])
    await sink.settle([...of(0).slice(1), ...of(1).slice(0, 1)].map(answerTo), [])
    await first.stop()
    // Whoever waits for the end of the stream knows that nothing is behind.
    await ended
    assert.deepEqual(await committed(), [
      [0, 3n],
      [1, 1n],
    ])
    await sink.settle(of(1).slice(1, 2).map(answerTo), [])
    assert.deepEqual(await committed(), [
      [0, 3n],
      [1, 2n],
    ])
    await first.close()
    const second = open({ delivery: 'at-least-once' })
    assert.deepEqual(texts(await firstValueFrom(second.source(input, note).pipe(take(1), toArray()))), ['c'])
    await second.close()
    assert.equal((await topics.records(output)).length, 5)
  })

  test('kafka: instances share the partitions, and what is in flight when one joins is answered once', async t => {
    const { input, output, open } = await fresh(t, 4)
    const numbers = Array.from({ length: 100 }, (_, number) => String(number))
    for (let partition = 0; partition < 4; partition++) await topics.append(input, await notes(numbers), partition)
    const [first, second] = [open({ maxInFlight: 16 }), open({ maxInFlight: 16 })]
    const counts = [0, 0]
    const failures: unknown[] = []
    const read = (which: number): void => {
      const transport = which === 0 ? first : second
      const sink = transport.sink(output, note)
      transport.source(input, note).subscribe({
        next: message => {
          counts[which] = (counts[which] ?? 0) + 1
          // Slowly as long as the first is alone, so that it does not answer everything before the second has joined.
          void setTimeout(counts[1] === 0 ? 200 : 20)
            .then(() => sink.settle([answerTo(message)], []))
            .catch((error: unknown) => failures.push(error))
        },
        error: (error: unknown) => failures.push(error),
      })
    }
    read(0)
    await eventually(() => (counts[0] ?? 0) > 4)
    read(1)
    await eventually(() => (counts[1] ?? 0) > 0)
    for (let partition = 0; partition < 4; partition++) await topics.append(input, await notes(['last']), partition)
    let answers = await topics.records(output)
    for (let tries = 0; tries < 100 && answers.length < 404; tries++) answers = await topics.records(output)
    await Promise.all([first.close(), second.close()])
    assert.deepEqual(failures, [])
    for (let partition = 0; partition < 4; partition++) {
      const found = answers.filter(record => record.partition === partition)
      const decoded = await Promise.all(found.map(({ value }) => avro()(output, note).decode(value ?? Buffer.alloc(0))))
      assert.deepEqual(
        decoded.map(({ text }) => text),
        [...numbers, 'last'].map(text => `answer to ${text}`),
      )
    }
  })
}
