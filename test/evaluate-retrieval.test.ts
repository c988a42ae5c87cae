import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { SchemaError, TransportError, UnknownAdapterError } from '../src/errors.ts'
import { readIds, readLabelled, readSampleSet, type LabelledPrompt } from '../src/cli/evaluate/retrieval-files.ts'
import { retrievalReport, type Ranked } from '../src/cli/evaluate/retrieval-report.ts'
import { encodeAll, encodeSamples, rank } from '../src/cli/evaluate/retrieval-run.ts'
import type { Encoder } from '../src/ports.ts'
import { scorers } from '../src/retrieve/scorers.ts'
import { vectorCache } from '../src/retrieve/vector-cache.ts'
import { lorastream } from './support/command-line.ts'
import { hashEncoder } from './support/fakes.ts'
import { temporaryFolder } from './support/peft-files.ts'
import { nothing } from './support/pools.ts'

const known = new Set(['a', 'b', 'c'])

async function fileOf(t: TestContext, text: string): Promise<string> {
  const path = join(await temporaryFolder(t), 'lines.jsonl')
  await writeFile(path, text)
  return path
}

const lines = (...rows: readonly unknown[]): string => rows.map(row => JSON.stringify(row)).join('\n')

const ranked = (adapter: string, found: readonly string[], more: Partial<LabelledPrompt> = {}): Ranked => ({
  prompt: { line: 1, adapter, text: '', exclude: [], ...more },
  found,
})

test('samples are gathered by adapter, in the order of the file', async t => {
  const rows = [
    { adapter: 'a', text: 'one' },
    { adapter: 'b', text: '二' },
    { adapter: 'a', text: 'one' },
  ]
  assert.deepEqual(
    [...(await readSampleSet(await fileOf(t, lines(...rows))))],
    [
      ['a', ['one', 'one']],
      ['b', ['二']],
    ],
  )
})

test('labelled prompts may be empty, and have a group and what to exclude', async t => {
  const path = await fileOf(t, lines({ adapter: 'a', text: '', group: 'g', exclude: ['a'], id: 1, target: 'x' }))
  assert.deepEqual(await readLabelled(path, known), [{ line: 1, adapter: 'a', text: '', group: 'g', exclude: ['a'] }])
})

test('a line that cannot be is refused by file, line and field', async t => {
  const twice = lines({ adapter: 'a', text: 'x', id: 'p' }, { adapter: 'b', text: 'y', id: 'p' })
  for (const [text, kind, says] of [
    [
      lines({ adapter: 'd', text: 'x' }),
      UnknownAdapterError,
      /line 1: adapter "d" has no samples, .* of the 3 that have/,
    ],
    [lines({ adapter: 'a', text: 1 }), SchemaError, /line 1: text is 1, expected a string/],
    [lines({ adapter: '', text: 'x' }), SchemaError, /line 1: adapter is empty, expected a name/],
    [lines({ adapter: 'a', text: 'x', exclude: 'a' }), SchemaError, /line 1: exclude is .*a.*, expected at most/],
    [lines({ adapter: 'a', text: 'x', group: 5 }), SchemaError, /line 1: group is 5/],
    [twice, SchemaError, /line 2: id .* came before, expected each once/],
    ['{"adapter"', SchemaError, /line 1/],
    ['', SchemaError, /lines\.jsonl: no prompts, expected one a line/],
  ] as const) {
    const path = await fileOf(t, text)
    await assert.rejects(readLabelled(path, known), error => error instanceof kind && says.test(error.message), text)
  }
  await assert.rejects(readSampleSet(await fileOf(t, '\n\n')), /no samples, expected one a line/)
  await assert.rejects(
    readSampleSet(await fileOf(t, lines({ adapter: 'a', text: ' ' }))),
    /expected a prompt of the task/,
  )
  await assert.rejects(readSampleSet('nowhere.jsonl'), TransportError)
})

test('ids to fit on are known, and each is there once', async t => {
  assert.deepEqual([...(await readIds(await fileOf(t, 'a\n\n c \n'), known))], ['a', 'c'])
  await assert.rejects(readIds(await fileOf(t, 'a\na\n'), known), /line 2: "a" came before/)
  await assert.rejects(readIds(await fileOf(t, 'a\nz\n'), known), UnknownAdapterError)
})

test('the report counts who was found where, and who was taken for whom', () => {
  const report = retrievalReport([
    ranked('a', ['a', 'b', 'c'], { group: 'one' }),
    ranked('a', ['b', 'a', 'c'], { group: 'one' }),
    ranked('b', ['a', 'c', 'd', 'e', 'b'], { group: 'one' }),
    ranked('c', ['a', 'b'], { group: 'two' }),
  ])
  assert.deepEqual(report.top, { 1: 25, 3: 50, 5: 75, 8: 75 })
  assert.equal(report.group, 75)
  assert.deepEqual(report.perAdapter['a'], { n: 2, top: { 1: 50, 3: 100, 5: 100, 8: 100 } })
  assert.deepEqual(report.confusions[0], { adapter: 'a', found: 'b', count: 1 })
  assert.equal(report.confusions.length, 3)
  const [low, high] = report.interval ?? [1, 0]
  assert.ok(low >= 0 && low <= 25 && high >= 25 && high <= 50)
  assert.deepEqual(report, retrievalReport(report.n === 4 ? [...again()] : []))

  function* again(): Generator<Ranked> {
    yield ranked('a', ['a', 'b', 'c'], { group: 'one' })
    yield ranked('a', ['b', 'a', 'c'], { group: 'one' })
    yield ranked('b', ['a', 'c', 'd', 'e', 'b'], { group: 'one' })
    yield ranked('c', ['a', 'b'], { group: 'two' })
  }
})

test('where every own adapter is excluded there is no accuracy, and no NaN; the group still counts', () => {
  const report = retrievalReport([
    ranked('a', ['b'], { group: 'one', exclude: ['a'] }),
    ranked('b', [], { group: 'one', exclude: ['b'] }),
  ])
  assert.deepEqual([report.n, report.findable, report.top, report.interval], [2, 0, null, null])
  assert.equal(report.group, 50)
  assert.ok(!JSON.stringify(report).includes('NaN'))
})

test('every scorer ranks labelled prompts, fitted on all adapters or on some', async t => {
  const set = new Map([
    ['sum', ['add 2 and 3', 'add 4 and 9', 'add 5 and 1']],
    ['rhyme', ['what rhymes with cat', 'what rhymes with moon']],
    ['中文', ['把这句话翻译成英文', '把这句话翻译成法文']],
    ['same', ['add 2 and 3', 'add 4 and 9', 'add 5 and 1']],
    ['one', ['say hello']],
  ])
  const encoder = hashEncoder(64)
  const signal = new AbortController().signal
  const cache = vectorCache(await temporaryFolder(t))
  const how = { encoder, prefix: '', cache, progress: nothing, note: assert.fail, signal }
  const samples = await encodeSamples(set, how)
  assert.deepEqual(await encodeSamples(set, how), samples)
  const prompts = [...set].map(([adapter, [text = '']], line) => ({ line, adapter, text, exclude: [] }))
  const encoded = await encodeAll(
    prompts.map(({ text }) => text),
    how,
  )
  for (const make of Object.values(scorers))
    for (const fitOn of [undefined, new Set(['sum', 'rhyme']), new Set(['one']), new Set<string>()]) {
      const { ranked: found } = rank(make({ fitOn }), samples, prompts, encoded)
      const { top } = retrievalReport(found)
      assert.ok((top?.[1] ?? 0) >= 60 && top?.[5] === 100, JSON.stringify(top))
    }
})

test('an encoder that gives too few vectors fails the run, and leaves nothing in the cache', async t => {
  const sound = hashEncoder(64)
  const cache = vectorCache(await temporaryFolder(t))
  const how = { prefix: '', cache, progress: nothing, note: assert.fail, signal: new AbortController().signal }
  const short: Encoder = { ...sound, encode: async texts => (await sound.encode(texts)).slice(1) }
  await assert.rejects(encodeAll(['one', 'two'], { ...how, encoder: short }), /gave 1 vectors for 2 texts/)
  const found = await encodeAll(['one', 'two'], { ...how, encoder: sound })
  assert.deepEqual(
    found.map(({ vector }) => vector),
    await sound.encode(['one', 'two']),
  )
})

test('a cache that cannot be written is noted once, and costs the run nothing', async t => {
  const notes: string[] = []
  const found = await encodeAll(
    Array.from({ length: 70 }, (_, at) => `text ${at}`),
    {
      encoder: hashEncoder(64),
      prefix: '',
      cache: vectorCache(join(await fileOf(t, 'no folder'), 'vectors')),
      progress: nothing,
      note: message => notes.push(message),
      signal: new AbortController().signal,
    },
  )
  assert.equal(found.length, 70)
  assert.equal(notes.length, 1)
  assert.match(notes[0] ?? '', /^vectors cannot be kept: .*(ENOTDIR|EEXIST)/)
})

test('evaluate retrieval: wrong usage is told before anything is opened', async () => {
  for (const [args, says] of [
    [[], /--data is missing/],
    [['--data', 'x', '--samples', 'y', '--adapters', 'z'], /--samples and --adapters exclude each other/],
    [['--data', 'x', '--scorer', 'bm25'], /--scorer is "bm25", expected hybrid, covariance, cosine or inner-product/],
  ] as const) {
    const { status, stderr } = await lorastream(['evaluate', 'retrieval', ...args])
    assert.equal(status, 2)
    assert.match(stderr, says)
  }
})
