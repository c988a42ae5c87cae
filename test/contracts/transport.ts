import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concatMap, delay, firstValueFrom, take, tap, toArray, type Observable } from 'rxjs'
import { SchemaError, TransportError } from '../../src/errors.ts'
import type { Failed, Headers, Message } from '../../src/events.ts'
import type { Codec, RawRecord, Schema, Transport } from '../../src/ports.ts'

/** Topics that outlive the transports on them: a broker, or what stands for one. Every test has its own. */
export type TransportHarness = {
  readonly codec: Codec
  /** A transport of one group. A second one is opened after the first is closed, as after a crash. */
  open(options: { readonly deadLetters?: string; readonly maxInFlight?: number }): Promise<Transport>
  /** Appends records to partition 0 of a topic, or to the one given. */
  append(topic: string, records: readonly RawRecord[], partition?: number): Promise<void>
  /** What a reader of committed records sees, in the order of each partition. */
  records(topic: string): Promise<readonly RawRecord[]>
  close(): Promise<void>
}

type Note = { readonly text: string }
const note: Schema<Note> = {
  name: 'Note',
  avro: { type: 'record', name: 'Note', fields: [{ name: 'text', type: 'string' }] },
  parse: value => {
    if (typeof value === 'object' && value !== null && 'text' in value && typeof value.text === 'string') {
      if (value.text !== 'bad') return { text: value.text }
      throw new SchemaError('Note.text is "bad", expected anything else')
    }
    throw new SchemaError('Note is something else')
  },
}

/** What every transport must do; `make` gives each test its own topics, of two partitions. */
export function transportContract(name: string, make: () => Promise<TransportHarness>): void {
  const check = (title: string, body: (topics: TransportHarness) => Promise<void>): void => {
    test(`${name}: ${title}`, async t => {
      const topics = await make()
      t.after(() => topics.close())
      await body(topics)
    })
  }

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

  check('writes failed events to the dead letters as they came, and why', async topics => {
    const headers: Headers = [['traceparent', bytes('00-1')]]
    const original = { ...(await encoded(topics, 'a')), key: bytes('key'), headers }
    await topics.append('in', [original])
    const transport = await topics.open({ deadLetters: 'in.dead' })
    const [message] = await receive(transport, 1)
    assert.ok(message)
    await transport
      .sink('out', note)
      .settle([], [{ message, stage: 'infer', code: 'PROMPT_TOO_LONG', reason: 'x'.repeat(5000) }])
    const [letter] = await topics.records('in.dead')
    assert.deepEqual(letter?.value && [...letter.value], [...(original.value ?? [])])
    const found = plain(letter)
    assert.equal(found.key, 'key')
    assert.deepEqual(found.headers.slice(0, 7), [
      ['traceparent', '00-1'],
      ['__lorastream.errors.topic', 'in'],
      ['__lorastream.errors.partition', '0'],
      ['__lorastream.errors.offset', String(message.origin.offset)],
      ['__lorastream.errors.timestamp', String(message.origin.timestamp)],
      ['__lorastream.errors.stage', 'infer'],
      ['__lorastream.errors.code', 'PROMPT_TOO_LONG'],
    ])
    assert.equal(found.headers[7]?.[0], '__lorastream.errors.message')
    assert.equal(found.headers[7]?.[1]?.length, 1000)
    await transport.close()
    const second = await topics.open({})
    await topics.append('in', await notes(topics, ['b']))
    assert.deepEqual(texts(await receive(second, 1)), ['b'])
    await second.close()
  })

  check('dead-letters what does not decode, does not parse or has no value, and goes on', async topics => {
    const [good] = await notes(topics, ['good'])
    assert.ok(good)
    const broken = { ...good, value: bytes('\u0001') }
    await topics.append('in', [broken, await encoded(topics, 'bad'), { ...good, value: null }, good])
    const first = await topics.open({ deadLetters: 'in.dead' })
    const messages = await receive(first, 1)
    assert.deepEqual(texts(messages), ['good'])
    await first.sink('out', note).settle([answerTo(messages[0])], [])
    const letters = await topics.records('in.dead')
    assert.equal(letters.length, 3)
    assert.deepEqual(letters[0]?.value && [...letters[0].value], [...broken.value])
    assert.equal(letters[2]?.value, null)
    for (const letter of letters) {
      const found = new Map(plain(letter).headers)
      assert.equal(found.get('__lorastream.errors.stage'), 'decode')
      assert.equal(found.get('__lorastream.errors.code'), 'SCHEMA_MISMATCH')
    }
    assert.match(new Map(plain(letters[1]).headers).get('__lorastream.errors.message') ?? '', /Note\.text is "bad"/)
    await first.close()
    await topics.append('in', await notes(topics, ['next']))
    const second = await topics.open({ deadLetters: 'in.dead' })
    assert.deepEqual(texts(await receive(second, 1)), ['next'])
    await second.close()
  })

  check('writes a dead letter of its own no earlier than the offset that passes it', async topics => {
    const [good] = await notes(topics, ['good'])
    assert.ok(good)
    await topics.append('in', [good, { ...good, value: bytes('\u0001') }, good])
    const first = await topics.open({ deadLetters: 'in.dead' })
    const messages = await receive(first, 2)
    assert.deepEqual(await topics.records('in.dead'), [])
    await first.sink('out', note).settle([answerTo(messages[0])], [])
    assert.equal((await topics.records('in.dead')).length, 1)
    await first.close()
    const second = await topics.open({ deadLetters: 'in.dead' })
    assert.equal((await receive(second, 1))[0]?.origin.offset, messages[1]?.origin.offset)
    assert.equal((await topics.records('in.dead')).length, 1)
    await second.close()
  })

  check('without a topic for dead letters, stops and commits nothing', async topics => {
    await topics.append('in', await notes(topics, ['a', 'b']))
    const first = await topics.open({})
    const [a, b] = await receive(first, 2)
    assert.ok(a && b)
    const failed: Failed = { message: b, stage: 'infer', code: 'STAGE_FAILED', reason: 'no' }
    await assert.rejects(first.sink('out', note).settle([answerTo(a)], [failed]), TransportError)
    assert.deepEqual(await topics.records('out'), [])
    await first.close()
    const second = await topics.open({})
    assert.deepEqual(texts(await receive(second, 2)), ['a', 'b'])
    await second.close()
  })

  check('without a topic for dead letters, a record that does not decode ends the source', async topics => {
    await topics.append('in', [{ key: null, value: bytes('\u0001'), headers: [] }])
    const transport = await topics.open({})
    await assert.rejects(receive(transport, 1), SchemaError)
    await transport.close()
  })

  check('an answer that does not fit its schema costs only itself', async topics => {
    await topics.append('in', await notes(topics, ['a', 'b']))
    const transport = await topics.open({ deadLetters: 'in.dead' })
    const [a, b] = await receive(transport, 2)
    assert.ok(a && b)
    const misfit: unknown = { text: 7 }
    // A misfit on purpose: what a user's own stage might hand in.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    await transport.sink('out', note).settle([{ value: misfit as Note, message: a }, answerTo(b)], [])
    assert.equal((await topics.records('out')).length, 1)
    const [letter] = await topics.records('in.dead')
    assert.equal(new Map(plain(letter).headers).get('__lorastream.errors.stage'), 'publish')
    await transport.close()
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

function receive(transport: Transport, count: number): Promise<Message<Note>[]> {
  return all(transport.source('in', note).pipe(take(count)))
}

function all<T>(source: Observable<T>): Promise<T[]> {
  return firstValueFrom(source.pipe(toArray()))
}

async function notes(topics: TransportHarness, values: readonly string[]): Promise<readonly RawRecord[]> {
  return Promise.all(values.map(text => encoded(topics, text)))
}

async function encoded(topics: TransportHarness, text: string): Promise<RawRecord> {
  return { key: null, value: await topics.codec('in', note).encode({ text }), headers: [] }
}

function answerTo(message: Message<Note> | undefined): { value: Note; message: Message<Note> } {
  assert.ok(message)
  return { value: { text: `answer to ${message.value.text}` }, message }
}

function texts(messages: readonly Message<Note>[]): readonly string[] {
  return messages.map(({ value }) => value.text)
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

function plain(record: Pick<RawRecord, 'key' | 'headers'> | undefined): {
  key: string | null
  headers: [string, string][]
} {
  assert.ok(record)
  return {
    key: record.key === null ? null : textOf(record.key),
    headers: record.headers.map(([header, value]) => [header, textOf(value)]),
  }
}

function textOf(value: Uint8Array): string {
  return new TextDecoder().decode(value)
}
