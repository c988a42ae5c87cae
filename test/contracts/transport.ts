import assert from 'node:assert/strict'
import { concatMap, delay, take, tap } from 'rxjs'
import { TransportError } from '../../src/errors.ts'
import type { Headers, Message } from '../../src/events.ts'
import type { RawRecord } from '../../src/ports.ts'
import { deadLetterContract } from './dead-letters.ts'
import {
  all,
  answerTo,
  bytes,
  checks,
  encoded,
  note,
  notes,
  plain,
  receive,
  texts,
  type Note,
  type TransportHarness,
} from './transport-harness.ts'

/** What every transport must do; `make` gives each test its own topics, of two partitions. */
export function transportContract(name: string, make: () => Promise<TransportHarness>): void {
  const check = checks(name, make)
  deadLetterContract(check)

  check('delivers a partition in order, with key, headers and origin', async topics => {
    const headers: Headers = [
      ['traceparent', bytes('00-1')],
      ['traceparent', bytes('00-2')],
    ]
    await topics.append('in', [await record('a', { key: bytes('key'), headers }), await record('b')])
    await topics.append('in', [await record('c')], 1)
    const transport = await topics.open({})
    const messages = await receive(transport, 3)
    assert.deepEqual(texts(messages.filter(({ origin }) => origin.partition === 0)), ['a', 'b'])
    assert.deepEqual(texts(messages.filter(({ origin }) => origin.partition === 1)), ['c'])
    const [a, b] = messages.filter(({ origin }) => origin.partition === 0)
    assert.equal(a?.origin.topic, 'in')
    assert.ok((b?.origin.offset ?? 0n) > (a?.origin.offset ?? 0n))
    assert.ok(Math.abs(Date.now() - (a?.origin.timestamp ?? 0)) < 60_000)
    assert.deepEqual(plain(a), {
      key: 'key',
      headers: [
        ['traceparent', '00-1'],
        ['traceparent', '00-2'],
      ],
    })
    assert.equal(b?.key, null)
    await transport.close()

    async function record(text: string, more: Partial<RawRecord> = {}): Promise<RawRecord> {
      return { ...(await encoded(topics, text)), ...more }
    }
  })

  check('publishes answers with the key and the headers of their events', async topics => {
    const headers: Headers = [['traceparent', bytes('00-1')]]
    await topics.append('in', [{ ...(await encoded(topics, 'a')), key: bytes('key'), headers }])
    const transport = await topics.open({})
    const [message] = await receive(transport, 1)
    assert.ok(message)
    await transport.sink('out', note).settle([{ value: { text: 'answer' }, message }], [])
    const [answer] = await topics.records('out')
    assert.deepEqual(plain(answer), { key: 'key', headers: [['traceparent', '00-1']] })
    assert.deepEqual(await topics.codec('out', note).decode(answer?.value ?? bytes('')), { text: 'answer' })
    await transport.close()
  })

  check('reads again what was not settled, and nothing that was', async topics => {
    await topics.append('in', await notes(topics, ['a', 'b', 'c']))
    const first = await topics.open({})
    const messages = await receive(first, 3)
    await first.sink('out', note).settle([answerTo(messages[0])], [])
    await first.close()
    const second = await topics.open({})
    assert.deepEqual(texts(await receive(second, 2)), ['b', 'c'])
    await second.close()
  })

  check('writes what is settled side by side in the order of the calls', async topics => {
    const names = Array.from({ length: 12 }, (_, at) => `n${at}`)
    // Of one key, so that answers are in one partition.
    const records = (await notes(topics, names)).map(record => ({ ...record, key: bytes('key') }))
    await topics.append('in', records)
    const first = await topics.open({})
    const messages = await receive(first, names.length)
    const sink = first.sink('out', note)
    // The earlier ones take longer to encode.
    const lengths = [400_000, 100_000, 10_000, 10, 10, 10]
    const order: number[] = []
    await Promise.all(
      lengths.map(async (length, at) => {
        const pair = messages.slice(2 * at, 2 * at + 2)
        const answers = pair.map(message => ({
          value: { text: `${message.value.text} ${'x'.repeat(length)}` },
          message,
        }))
        await sink.settle(answers, [])
        order.push(at)
      }),
    )
    assert.deepEqual(order, [0, 1, 2, 3, 4, 5])
    const serde = topics.codec('out', note)
    const written = await Promise.all(
      (await topics.records('out')).map(async ({ value }) => (await serde.decode(value ?? bytes(''))).text),
    )
    assert.deepEqual(
      written.map(text => text.split(' ')[0]),
      names,
    )
    await first.close()
  })

  check('writes nothing that waits behind a settlement that fails', async topics => {
    await topics.append('in', await notes(topics, ['a', 'b', 'c']))
    const first = await topics.open({})
    const [a, b, c] = await receive(first, 3)
    assert.ok(b)
    const sink = first.sink('out', note)
    // There is no topic for what has failed.
    const failed = { message: b, stage: 'infer', code: 'INPUT_INVALID', reason: 'no' } as const
    const ends = await Promise.allSettled([
      sink.settle([answerTo(a)], []),
      sink.settle([], [failed]),
      sink.settle([answerTo(c)], []),
    ])
    assert.deepEqual(
      ends.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected'],
    )
    await first.close()
    assert.equal((await topics.records('out')).length, 1)
    const second = await topics.open({})
    assert.deepEqual(texts(await receive(second, 2)), ['b', 'c'])
    await second.close()
  })

  check('never commits past an open event', async topics => {
    await topics.append('in', await notes(topics, ['a', 'b', 'c']))
    const first = await topics.open({})
    const messages = await receive(first, 3)
    await first.sink('out', note).settle([answerTo(messages[1]), answerTo(messages[2])], [])
    await first.close()
    const second = await topics.open({})
    assert.equal((await receive(second, 1))[0]?.value.text, 'a')
    await second.close()
  })

  check('settles nothing after it was closed', async topics => {
    await topics.append('in', await notes(topics, ['a']))
    const first = await topics.open({})
    const messages = await receive(first, 1)
    await first.close()
    await assert.rejects(first.sink('out', note).settle([answerTo(messages[0])], []), TransportError)
    assert.deepEqual(await topics.records('out'), [])
    const second = await topics.open({})
    assert.deepEqual(texts(await receive(second, 1)), ['a'])
    await second.close()
  })

  check('holds back while too many events are open', async topics => {
    await topics.append('in', await notes(topics, ['a', 'b', 'c', 'd', 'e', 'f']))
    const transport = await topics.open({ maxInFlight: 2 })
    const sink = transport.sink('out', note)
    let open = 0
    let most = 0
    const messages = await all(
      transport.source('in', note).pipe(
        take(6),
        tap(() => (most = Math.max(most, ++open))),
        // Later than the source could deliver all six, if nothing held it back.
        delay(20),
        concatMap(async message => {
          open--
          await sink.settle([answerTo(message)], [])
          return message
        }),
      ),
    )
    assert.equal(most, 2)
    assert.deepEqual(texts(messages), ['a', 'b', 'c', 'd', 'e', 'f'])
    await transport.close()
  })

  check('stops its sources, and what is in flight can still be settled', async topics => {
    await topics.append('in', await notes(topics, ['a']))
    const transport = await topics.open({})
    const messages: Message<Note>[] = []
    const ended = new Promise<void>((resolve, reject) => {
      transport.source('in', note).subscribe({
        next: message => {
          messages.push(message)
          transport.stop().catch(reject)
        },
        error: reject,
        complete: resolve,
      })
    })
    await ended
    await transport.sink('out', note).settle([answerTo(messages[0])], [])
    assert.equal((await topics.records('out')).length, 1)
    await transport.close()
  })
}
