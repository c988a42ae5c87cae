import assert from 'node:assert/strict'
import { SchemaError, TransportError } from '../../src/errors.ts'
import type { Failed, Headers } from '../../src/events.ts'
import {
  answerTo,
  bytes,
  encoded,
  note,
  notes,
  plain,
  receive,
  texts,
  type Check,
  type Note,
} from './transport-harness.ts'

/** What every transport must do with events that cannot be answered; part of its contract. */
export function deadLetterContract(check: Check): void {
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
}
