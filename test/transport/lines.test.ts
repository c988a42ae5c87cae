import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { lines, type Line } from '../../src/transport/lines.ts'

async function read(chunks: readonly (string | Buffer)[], maxBytes = 100): Promise<Line[]> {
  const found: Line[] = []
  for await (const line of lines(stream(), maxBytes)) found.push(line)
  return found

  async function* stream(): AsyncGenerator<Buffer> {
    for (const chunk of chunks) yield Buffer.from(chunk)
  }
}

function shown(found: readonly Line[]): readonly (readonly [number, string])[] {
  return found.map(({ number, bytes }) => [number, bytes.toString()])
}

test('lines: LF, CRLF, a byte order mark, blank lines and a last line without an end', async () => {
  assert.deepEqual(shown(await read(['\ufeffa\r\n\n \t\nb', 'c\nd'])), [
    [1, 'a'],
    [4, 'bc'],
    [5, 'd'],
  ])
})

test('lines: one that is too long comes with its beginning, and the next is whole', async () => {
  const [long, next] = await read(['x'.repeat(60), 'x'.repeat(5000), 'x\nshort\n'], 100)
  assert.equal(long?.problem, '5061 bytes, expected at most 100')
  assert.ok((long?.bytes.length ?? 0) <= 1024)
  assert.deepEqual([next?.number, next?.bytes.toString(), next?.problem], [2, 'short', undefined])
})

test('lines: the longest that is allowed is whole, however it is cut', async () => {
  const [line] = await read(['x'.repeat(99), 'x', '\n'], 100)
  assert.deepEqual([line?.bytes.length, line?.problem], [100, undefined])
})

test('lines: bytes that are not UTF-8 are told, and cost their line alone', async () => {
  const found = await read([Buffer.from([0x61, 0xff, 0x0a, 0x62, 0x0a])])
  assert.deepEqual(
    found.map(({ problem }) => problem),
    ['bytes that are not UTF-8', undefined],
  )
})

test('lines: where chunks are cut makes no difference', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }), { maxLength: 10 }),
      fc.array(fc.nat(200), { maxLength: 10 }),
      async (texts, cuts) => {
        const whole = Buffer.from(texts.map(text => text.replaceAll('\n', ' ')).join('\n'))
        const places = [0, ...cuts.filter(cut => cut <= whole.length).toSorted((a, b) => a - b), whole.length]
        const chunks = places.slice(1).map((place, index) => whole.subarray(places[index], place))
        assert.deepEqual(await read(chunks), await read([whole]))
      },
    ),
  )
})
