import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable, Writable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import { bufferCount, concatMap, firstValueFrom, lastValueFrom, toArray } from 'rxjs'
import { ConfigError, TransportError } from '../../src/errors.ts'
import type { Failed, Message, Prompt } from '../../src/events.ts'
import type { Schema, Transport } from '../../src/ports.ts'
import { schemas } from '../../src/schemas.ts'
import { jsonl, type JsonlOptions } from '../../src/transport/jsonl.ts'

type Answer = { readonly answer: string; readonly tokens?: readonly number[] }
const answers: Schema<Answer> = { name: 'Answer', avro: 'string' }

/** A writable that keeps what it was given. */
function paper(): Writable & { text(): string } {
  const chunks: string[] = []
  const writable = new Writable({
    write(chunk, _, written) {
      chunks.push(String(chunk))
      written()
    },
  })
  return Object.assign(writable, { text: () => chunks.join('') })
}

function prompts(transport: Transport): Promise<Message<Prompt>[]> {
  return firstValueFrom(transport.source('prompts', schemas.prompt).pipe(toArray()))
}

async function readAll(
  text: string | Buffer,
  options: Partial<JsonlOptions> = {},
): Promise<{ readonly messages: readonly Message<Prompt>[]; readonly failed: readonly Failed[] }> {
  const failed: Failed[] = []
  const report = (one: Failed): void => void failed.push(one)
  const transport = jsonl({ input: Readable.from([Buffer.from(text)]), output: paper(), report, ...options })
  return { messages: await prompts(transport), failed }
}

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'jsonl-'))
  t.after(() => rm(path, { recursive: true }))
  return path
}

test('jsonl: prompts come in order, with their lines as offsets and as ids of those without one', async () => {
  const { messages } = await readAll('{"text":"a"}\n\n{"id":"mine","text":"b"}\n{"text":"c","id":null,"k":null}')
  assert.deepEqual(
    messages.map(({ value }) => value),
    [
      { id: '1', text: 'a' },
      { id: 'mine', text: 'b' },
      { id: '4', text: 'c' },
    ],
  )
  assert.deepEqual(
    messages.map(({ origin }) => [origin.topic, origin.partition, origin.offset]),
    [
      ['stdin', 0, 1n],
      ['stdin', 0, 3n],
      ['stdin', 0, 4n],
    ],
  )
})

test('jsonl: a wrong line costs only itself and is named', async () => {
  const bad = ['{"text":', '[1]', '{"text":7}', '{}', '{"text":"a","colour":1}', '{"text":"a","topP":0}', '"text"']
  const { messages, failed } = await readAll([...bad, '{"text":"good"}'].join('\n'))
  assert.deepEqual(
    messages.map(({ value }) => value.text),
    ['good'],
  )
  assert.deepEqual(
    failed.map(({ code, stage }) => `${stage} ${code}`),
    bad.map(() => 'decode SCHEMA_MISMATCH'),
  )
  const reasons = failed.map(({ reason }) => reason)
  assert.match(reasons[0] ?? '', /^stdin line 1: not JSON: /)
  assert.equal(reasons[1], 'stdin line 2: Prompt is an array of 1, expected an object')
  assert.equal(reasons[2], 'stdin line 3: Prompt.text is 7, expected a Unicode string of at most 1048576 bytes')
  assert.equal(reasons[3], 'stdin line 4: Prompt.text is missing, expected a string')
  assert.match(reasons[4] ?? '', /^stdin line 5: Prompt has a field "colour", expected id, text, /)
  assert.equal(reasons[5], 'stdin line 6: Prompt.topP is 0, expected a number above 0 and at most 1')
  assert.equal(reasons[6], 'stdin line 7: Prompt is "text", expected an object')
})

test('jsonl: a line that is too long or not UTF-8 is named, and the next one is read', async () => {
  const long = Buffer.concat([Buffer.from(`{"text":"${'x'.repeat(9 * 2 ** 20)}"}\n`), Buffer.from([0xff, 0x0a])])
  const { messages, failed } = await readAll(Buffer.concat([long, Buffer.from('{"text":"good"}')]))
  assert.equal(messages.length, 1)
  assert.deepEqual(
    failed.map(({ reason }) => reason),
    ['stdin line 1: 9437195 bytes, expected at most 8388608', 'stdin line 2: bytes that are not UTF-8'],
  )
})

test('jsonl: answers are written in order, with token ids only when asked', async () => {
  for (const tokens of [false, true]) {
    const output = paper()
    const transport = jsonl({ input: Readable.from(['{"text":"a"}\n{"text":"b"}\n']), output, tokens })
    const sink = transport.sink('completions', answers)
    const source = transport.source('prompts', schemas.prompt)
    await lastValueFrom(
      source.pipe(
        concatMap(message => sink.settle([{ value: { answer: message.value.text, tokens: [1] }, message }], [])),
      ),
    )
    await transport.close()
    const more = tokens ? ',"tokens":[1]' : ''
    assert.equal(output.text(), `{"answer":"a"${more}}\n{"answer":"b"${more}}\n`)
  }
})

test('jsonl: dead letters hold the line as it came and why', async () => {
  const deadLetters = paper()
  const reported: Failed[] = []
  const transport = jsonl({
    input: Readable.from([Buffer.from('{"text":"a"}\nno\n'), Buffer.from([0xff, 0x0a])]),
    output: paper(),
    deadLetters,
    report: failed => reported.push(failed),
  })
  const [message] = await prompts(transport)
  assert.ok(message)
  await transport
    .sink('completions', answers)
    .settle([], [{ message, stage: 'retrieve', code: 'ADAPTER_UNKNOWN', reason: 'no such adapter' }])
  const letters = deadLetters.text().trimEnd().split('\n').map(parse)
  assert.deepEqual(
    letters.map(letter => [letter['offset'], letter['stage'], letter['code'], letter['value'], letter['base64']]),
    [
      [2, 'decode', 'SCHEMA_MISMATCH', 'no', undefined],
      [3, 'decode', 'SCHEMA_MISMATCH', undefined, '/w=='],
      [1, 'retrieve', 'ADAPTER_UNKNOWN', '{"text":"a"}', undefined],
    ],
  )
  assert.equal(letters[2]?.['message'], 'no such adapter')
  assert.equal(reported.length, 3)
})

test('jsonl: holds back while too many lines are open', async () => {
  const input = Readable.from(Array.from({ length: 10 }, (_, index) => `{"text":"${index}"}\n`))
  const transport = jsonl({ input, output: paper(), maxInFlight: 3 })
  const sink = transport.sink('completions', answers)
  let open = 0
  let most = 0
  let settled = Promise.resolve()
  await new Promise<void>((resolve, reject) => {
    transport.source('prompts', schemas.prompt).subscribe({
      next(message) {
        most = Math.max(most, ++open)
        settled = settled
          .then(() => new Promise(done => setTimeout(done, 5)))
          .then(() => {
            open--
            return sink.settle([{ value: { answer: '' }, message }], [])
          })
      },
      error: reject,
      complete: resolve,
    })
  })
  await settled
  assert.equal(most, 3)
})

test('jsonl: waits for a slow reader of its output', async () => {
  const held: (() => void)[] = []
  const output = new Writable({ write: (_, __, written) => void held.push(written) })
  const transport = jsonl({ input: Readable.from(['{"text":"a"}\n']), output })
  const [message] = await prompts(transport)
  assert.ok(message)
  let settled = false
  const settling = transport
    .sink('completions', answers)
    .settle([{ value: { answer: '' }, message }], [])
    .then(() => (settled = true))
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(settled, false)
  for (const written of held) written()
  await settling
})

test('jsonl: a reader that has gone away ends the source, and nothing throws', async () => {
  const gone = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })
  const output = new Writable({ write: (_, __, written) => written(gone) })
  const input = new PassThrough()
  const transport = jsonl({ input, output })
  const sink = transport.sink('completions', answers)
  input.write('{"text":"a"}\n{"text":"b"}\n')
  // Both are read before the first is written, so the second finds the reader gone.
  await lastValueFrom(
    transport.source('prompts', schemas.prompt).pipe(
      bufferCount(2),
      concatMap(messages => messages),
      concatMap(message => sink.settle([{ value: { answer: '' }, message }], [])),
    ),
  )
  assert.ok(input.destroyed)
  await transport.close()
})

test('jsonl: stopping ends the source, though its input goes on', async () => {
  const transport = jsonl({ input: new PassThrough(), output: paper() })
  const ended = prompts(transport)
  await transport.stop()
  assert.deepEqual(await ended, [])
})

test('jsonl: files are read and written by their names', async t => {
  const path = await folder(t)
  const input = join(path, 'in.jsonl')
  const output = join(path, 'out.jsonl')
  await writeFile(input, '{"text":"a"}\n')
  const transport = jsonl({ input, output })
  const [message] = await prompts(transport)
  assert.equal(message?.origin.topic, 'in.jsonl')
  await transport.sink('completions', answers).settle([{ value: { answer: 'b' }, message }], [])
  await transport.close()
  assert.equal(await readFile(output, 'utf8'), '{"answer":"b"}\n')
})

test('jsonl: a file that cannot be opened, and one that would be read and written, are refused and left alone', async t => {
  const path = await folder(t)
  const input = join(path, 'in.jsonl')
  await writeFile(input, '{"text":"a"}\n')
  assert.throws(() => jsonl({ input: join(path, 'none'), output: paper() }), TransportError)
  assert.throws(() => jsonl({ input, output: join(path, 'no', 'out') }), TransportError)
  assert.throws(() => jsonl({ input, output: join(path, '.', 'in.jsonl') }), ConfigError)
  assert.throws(() => jsonl({ input, output: paper(), deadLetters: input }), ConfigError)
  assert.throws(() => jsonl({ input, output: '-', deadLetters: '-' }), ConfigError)
  assert.equal(await readFile(input, 'utf8'), '{"text":"a"}\n')
})

test('jsonl: an input that breaks off is a TransportError', async () => {
  const input = new Readable({ read() {} })
  const transport = jsonl({ input, output: paper() })
  const ended = prompts(transport)
  input.destroy(new Error('disk on fire'))
  await assert.rejects(ended, new TransportError('stdin cannot be read: disk on fire'))
})

test('jsonl: a schema that cannot check values is refused', () => {
  const transport = jsonl({ input: Readable.from([]), output: paper() })
  assert.throws(() => transport.source('prompts', answers), ConfigError)
})

function parse(line: string): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(line)
  assert.ok(typeof value === 'object' && value !== null)
  return { ...value }
}
