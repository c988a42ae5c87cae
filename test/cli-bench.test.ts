import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { lorastream } from './support/command-line.ts'
import { temporaryFolder } from './support/peft-files.ts'

const model = ['--model', 'test/fixtures/golden/tiny-llama', '--template', 'raw']
const encoder = ['--encoder', 'test/fixtures/encoder/tiny']
const adapters = ['--adapters', 'test/fixtures/golden/adapters']

test('bench window: prints what it was asked to measure, and the figures that it promises', async t => {
  const asked = { rows: 4, promptTokens: 8, newTokens: 5, k: 2, distinct: 6, rank: 2, repeats: 2 }
  const options = Object.entries(asked).flatMap(([name, value]) => [`--${dashed(name)}`, String(value)])
  const [found, ...others] = await bench(t, ['window', ...options, '--targets', 'k_proj,down_proj'])
  assert.equal(others.length, 0)
  assert.deepEqual(found?.['targets'], ['k_proj', 'down_proj'])
  for (const [name, value] of Object.entries({ case: 'window', precision: 'int8', device: 'cpu', ...asked }))
    assert.equal(found[name], value, name)
  const [ms, baseMs] = [numberOf(found, 'ms'), numberOf(found, 'baseMs')]
  near(numberOf(found, 'ratioToBase'), ms / baseMs)
  near(numberOf(found, 'tokensPerSecond'), (4 * 5 * 1000) / ms)
  assert.ok(numberOf(found, 'ratioLow') <= numberOf(found, 'ratioOfPairs'))
  assert.ok(numberOf(found, 'ratioOfPairs') <= numberOf(found, 'ratioHigh'))
  assert.ok(numberOf(found, 'sessionMs') < ms)
  assert.ok(numberOf(found, 'peakRssMb') >= numberOf(found, 'rssMb') && numberOf(found, 'rssMb') > 10)
  for (const name of ['ratioOfBest', 'firstMs', 'baseTokensPerSecond']) assert.ok(numberOf(found, name) > 0, name)
})

test('bench stages: what is outside of ONNX Runtime and what the engine takes by itself, stage by stage', async t => {
  const prompts = await promptFile(t)
  // Few windows of a small model take as long as a hiccup between two of them.
  const options = ['--windows', '20', '--new-tokens', '4', '--repeats', '2', '--prompts', prompts]
  const [found] = await bench(t, ['stages', ...options, ...encoder, ...adapters])
  assert.deepEqual([found?.['case'], found?.['rows'], found?.['topology']], ['stages', 16, 'mixture'])
  const names = ['ms', 'aloneMs', 'retrieveMs', 'composeMs', 'batchMs', 'engineMs', 'publishMs', 'avroMs']
  for (const name of names) assert.ok(numberOf(found, name) > 0, name)
  assert.ok(numberOf(found, 'sessionMs') < numberOf(found, 'ms'))
  const outside = numberOf(found, 'outsidePercent')
  assert.ok(outside > 0 && outside < 100)
  numberOf(found, 'overAlonePercent')
})

test('bench pool: one object a pool, with the same adapters mixed in both, and vectors that a second opening finds', async t => {
  const options = ['--small', '4', '--large', '40', '--rows', '3', '--new-tokens', '2', '--repeats', '2']
  const [small, large, ...others] = await bench(t, ['pool', ...options, ...encoder])
  assert.equal(others.length, 0)
  assert.deepEqual([small?.['case'], small?.['pool'], large?.['pool']], ['pool', 4, 40])
  assert.equal(small?.['distinct'], large?.['distinct'])
  for (const found of [small, large])
    for (const name of ['ms', 'retrieveMs', 'inferMs', 'openMs', 'openCachedMs'])
      assert.ok(numberOf(found, name) > 0, name)
  near(numberOf(large, 'ratioToSmall'), numberOf(large, 'ms') / numberOf(small, 'ms'))
  for (const name of ['ratioOfBest', 'changingMs', 'rssMb']) assert.ok(numberOf(large, name) > 0, name)
})

test('bench retrieval: exact search and hnsw over the same adapters, and what hnsw finds of the other', async () => {
  const options = ['--pool', '40', '--samples', '3', '--rows', '4', '--windows', '3', '--scorer', 'hybrid']
  const { status, stdout, stderr } = await lorastream(['bench', 'retrieval', '--json', ...options])
  assert.deepEqual([status, stderr], [0, ''])
  const [exact, approximate] = stdout.split('\n').map(line => (line === '' ? undefined : parsed(line)))
  assert.deepEqual(
    [exact?.['index'], approximate?.['index'], approximate?.['pool'], approximate?.['k']],
    ['exact', 'hnsw', 40, 8],
  )
  assert.deepEqual([exact?.['recallPercent'], approximate?.['recallPercent']], [100, 100])
  for (const found of [exact, approximate])
    for (const name of ['ms', 'p99Ms', 'openMs']) assert.ok(numberOf(found, name) > 0, name)
})

test('bench memory: after ten windows, and from the first quarter of many to the last', async t => {
  const options = ['--windows', '8', '--rows', '2', '--new-tokens', '2', '--prompts', await promptFile(t)]
  const [found] = await bench(t, ['memory', ...options, ...encoder, ...adapters])
  assert.deepEqual([found?.['case'], found?.['windows'], found?.['pool']], ['memory', 8, 8])
  for (const name of ['openMb', 'tenWindowsMb', 'rssMb', 'peakRssMb']) assert.ok(numberOf(found, name) > 10, name)
  near(numberOf(found, 'growthMb'), numberOf(found, 'lastQuarterMb') - numberOf(found, 'firstQuarterMb'))
})

test('bench load: the parts, and a process of its own from its start to its first answer', async t => {
  const [found] = await bench(t, ['load', '--repeats', '1', '--new-tokens', '2', ...encoder, ...adapters])
  assert.equal(found?.['case'], 'load')
  for (const name of ['modelColdMs', 'modelMs', 'encoderMs', 'poolColdMs', 'poolMs', 'firstAnswerMs'])
    assert.ok(numberOf(found, name) > 0, name)
  assert.ok(numberOf(found, 'completeMs') >= numberOf(found, 'firstAnswerMs'))
})

test('bench quality: float32 against itself is the same, and int8 is near', async t => {
  const folder = await temporaryFolder(t)
  const text = join(folder, 'text.txt')
  await writeFile(text, 'The quick brown fox jumps over the lazy dog, and the dog does not mind at all.')
  const options = ['--text', text, '--chunk', '16']
  const [same] = await bench(t, ['quality', ...options, '--precision', 'float32'])
  assert.deepEqual([same?.['case'], same?.['precision'], same?.['chunk']], ['quality', 'float32', 16])
  assert.equal(numberOf(same, 'perplexity'), numberOf(same, 'perplexityFloat32'))
  assert.deepEqual([numberOf(same, 'sameTopPercent'), numberOf(same, 'divergence')], [100, 0])
  const [int8] = await bench(t, ['quality', ...options])
  assert.equal(int8?.['precision'], 'int8')
  assert.equal(numberOf(int8, 'perplexityFloat32'), numberOf(same, 'perplexityFloat32'))
  assert.ok(numberOf(int8, 'divergence') > 0 && numberOf(int8, 'divergence') < 0.01)
  assert.ok(Math.abs(numberOf(int8, 'overFloat32Percent')) < 1)
})

test('bench: for people a table below the machine, nothing on stderr, and within a terminal', async t => {
  const cache = ['--cache', await temporaryFolder(t)]
  const options = ['--rows', '2', '--new-tokens', '2', '--distinct', '3', '--repeats', '1']
  const { status, stdout, stderr } = await lorastream(['bench', 'window', ...options, ...model, ...cache])
  assert.deepEqual([status, stderr], [0, ''])
  assert.match(stdout, /^lorastream \S+, onnxruntime \S+, Node v\S+; \d+ × .*, load \d+\.\d\d before\n/)
  assert.match(stdout, /^window: tiny-llama, int8 on cpu$/m)
  assert.match(stdout, /^  rows 2, prompt tokens 64, new tokens 2, k 3, distinct 3, rank 8, /m)
  assert.doesNotMatch(stdout, /shortest|ratioToEven/)
  assert.match(stdout, /^  ratioToBase +\d+\.\d{3} times  of the two medians$/m)
  // The first line names the machine, whatever its makers call it.
  for (const line of stdout.split('\n').slice(1)) assert.ok(line.length <= 100, line)
})

test('bench window: --shortest measures prompts of different lengths beside prompts that are all as long', async t => {
  const cache = ['--cache', await temporaryFolder(t)]
  const options = ['--rows', '2', '--shortest', '5', '--new-tokens', '2', '--distinct', '3', '--repeats', '1', '--json']
  const { stdout } = await lorastream(['bench', 'window', ...options, ...model, ...cache])
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- read below
  const found = JSON.parse(stdout) as Readonly<Record<string, number>>
  assert.deepEqual([found['shortest'], found['promptTokens']], [5, 64])
  // Figures are rounded.
  const ratio = (found['ms'] ?? 0) / (found['evenMs'] ?? 0)
  assert.ok(Math.abs((found['ratioToEven'] ?? 0) / ratio - 1) < 0.1, stdout)
})

const wrong: readonly (readonly [args: readonly string[], says: RegExp])[] = [
  [['bench', 'windows'], /"bench windows" is not a command, .*; did you mean window\?/],
  [['bench', '--rows', '3'], /--rows is not an option of "bench"/],
  [['bench', '--config', 'x.ts'], /--config: a bench opens the parts itself/],
  [['bench', 'window', '--distinct', '100'], /--distinct is "100", expected 3 to 48/],
  [['bench', 'window', '--shortest', '65'], /--shortest is "65", expected a whole number from 1 to 64/],
  [['bench', 'window', '--rows', '0'], /--rows is "0", expected a whole number from 1/],
  [['bench', 'pool', '--small', '10', '--large', '9'], /--large is "9", expected at least 15: --small and --repeats/],
  [['bench', 'memory', '--windows', '3'], /--windows is "3", expected a whole number from 4/],
  [
    ['bench', 'transport-memory', '--events', '1000'],
    /--events 1000 in windows of 64 are 16 windows, expected at least 100/,
  ],
]

test('bench: wrong usage is one line, and exit 2', async () => {
  for (const [args, says] of wrong) {
    const { status, stdout, stderr } = await lorastream(args)
    assert.deepEqual([status, stdout], [2, ''], args.join(' '))
    assert.match(stderr, /^CONFIG_INVALID: [^\n]+\n$/)
    assert.match(stderr, says)
  }
})

test('bench: a row that cannot be answered is an error, not a fast figure', async t => {
  const cache = ['--cache', await temporaryFolder(t)]
  const { status, stdout, stderr } = await lorastream(['bench', 'window', '--prompt-tokens', '250', ...model, ...cache])
  assert.deepEqual([status, stdout], [1, ''])
  assert.match(stderr, /^PROMPT_TOO_LONG: [^\n]+\n$/)
})

/** The objects that a case prints as JSON. */
function parsed(line: string): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(line)
  assert.ok(isRecord(value) && isRecord(value['machine']))
  return value
}

async function bench(
  t: TestContext,
  args: readonly string[],
): Promise<readonly (Readonly<Record<string, unknown>> | undefined)[]> {
  const cache = await temporaryFolder(t)
  const { status, stdout, stderr } = await lorastream(['bench', ...args, '--json', ...model, '--cache', cache])
  assert.deepEqual([status, stderr], [0, ''])
  return stdout
    .trimEnd()
    .split('\n')
    .map(line => {
      const value: unknown = JSON.parse(line)
      assert.ok(isRecord(value) && value['base'] === 'tiny-llama' && isRecord(value['machine']))
      return value
    })
}

function numberOf(found: Readonly<Record<string, unknown>> | undefined, name: string): number {
  const value = found?.[name]
  assert.ok(typeof value === 'number' && Number.isFinite(value), `${name} is ${String(value)}, expected a number`)
  return value
}

/** Figures are printed to five decimals. */
function near(value: number, expected: number): void {
  assert.ok(Math.abs(value - expected) <= 1e-4 * Math.max(1, Math.abs(expected)), `${value} is not ${expected}`)
}

async function promptFile(t: TestContext): Promise<string> {
  const file = join(await temporaryFolder(t), 'prompts.jsonl')
  await writeFile(file, '{"text":"one"}\n{"text":"two","adapters":[{"id":"a_r4"},{"id":"b_r8_qv"}]}\n')
  return file
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function dashed(name: string): string {
  return name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
}
