import assert from 'node:assert/strict'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import * as fc from 'fast-check'
import { readSamples } from '../../src/adapters/samples.ts'
import { AdapterError } from '../../src/errors.ts'
import { temporaryFolder } from '../support/peft-files.ts'

async function samplesOf(t: TestContext, content: string | Uint8Array): Promise<readonly string[]> {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'samples.jsonl'), content)
  return await readSamples(folder)
}

async function refused(t: TestContext, content: string | Uint8Array, expected: RegExp): Promise<void> {
  await assert.rejects(samplesOf(t, content), error => {
    assert.ok(error instanceof AdapterError, String(error))
    assert.match(error.message, expected)
    return true
  })
}

test('a directory without samples has none', async t => {
  assert.deepEqual(await readSamples(await temporaryFolder(t)), [])
  assert.deepEqual(await samplesOf(t, ''), [])
  assert.deepEqual(await samplesOf(t, '\n \r\n\n'), [])
})

test('each line is a sample; blank lines, other fields, CRLF and a missing last newline do not matter', async t => {
  assert.deepEqual(await samplesOf(t, '{"text":"a"}\r\n\r\n{"label":3,"text":"ü\\n"}\n{"text":" c "}'), [
    'a',
    'ü\n',
    ' c ',
  ])
})

test('a line that is no sample is refused with its number', async t => {
  const good = '{"text":"a"}\n\n'
  for (const [line, reason] of [
    ['{"text":', /samples\.jsonl line 3 is not JSON/],
    ['["text"]', /line 3 is .*, expected a JSON object/],
    ['null', /line 3 is null/],
    ['{"prompt":"a"}', /line 3: text is absent, expected a string/],
    ['{"text":3}', /line 3: text is 3, expected a string/],
    ['{"text":" \\n"}', /line 3: text is empty/],
    [JSON.stringify({ text: 'x'.repeat(40_000) }), /line 3: text of 40000 characters, expected at most 32768/],
  ] as const) {
    await refused(t, `${good}${line}\n`, reason)
  }
  await refused(t, Buffer.concat([Buffer.from(good), Uint8Array.of(0x22, 0xff, 0x22)]), /line 3 is not JSON in UTF-8/)
})

test('too many samples and too large a file are refused', async t => {
  await refused(t, '{"text":"a"}\n'.repeat(1001), /line 1001: expected at most 1000 samples/)
  await refused(t, Buffer.alloc(8 * 1024 * 1024 + 1, 0x20), /samples\.jsonl: 8388609 bytes, expected at most 8388608/)
})

test('samples that are a directory or a link out of the adapter are refused', async t => {
  const [folder, outside] = [await temporaryFolder(t), await temporaryFolder(t)]
  await writeFile(join(outside, 'secret.jsonl'), '{"text":"secret"}')
  await symlink(join(outside, 'secret.jsonl'), join(folder, 'samples.jsonl'))
  await assert.rejects(readSamples(folder), /a link out of the directory/)
  const nested = await temporaryFolder(t)
  await mkdir(join(nested, 'samples.jsonl'))
  await assert.rejects(readSamples(nested), /not a file/)
})

test('any texts come back as they were written, and any bytes are read or refused as an adapter error', async t => {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'samples.jsonl')
  const text = fc.string({ unit: 'grapheme', minLength: 1 }).filter(value => value.trim() !== '')
  await fc.assert(
    fc.asyncProperty(fc.array(text, { maxLength: 20 }), async texts => {
      await writeFile(file, texts.map(value => JSON.stringify({ text: value })).join('\n'))
      assert.deepEqual(await readSamples(folder), texts)
    }),
  )
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.uint8Array(), fc.string(), fc.json()), async content => {
      await writeFile(file, content)
      const outcome = await readSamples(folder).catch((error: unknown) => error)
      assert.ok(Array.isArray(outcome) || outcome instanceof AdapterError, String(outcome))
    }),
  )
})
