import assert from 'node:assert/strict'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { lorastream, start } from './support/command-line.ts'

const config = ['--config', 'test/support/echo-config.ts']

test('cli: without a command the help goes to stderr and the exit is 2; asked for, to stdout and 0', async () => {
  const [none, asked] = await Promise.all([lorastream([]), lorastream(['--help'])])
  assert.deepEqual([none.status, none.stdout], [2, ''])
  assert.deepEqual([asked.status, asked.stderr], [0, ''])
  assert.equal(none.stderr, asked.stdout)
  for (const command of ['demo', 'models', 'run', 'complete', 'search', 'check', 'evaluate', 'bench'])
    assert.match(asked.stdout, new RegExp(`^  ${command} `, 'm'))
})

test('cli: every command has help that shows its usage, and help opens nothing', async () => {
  for (const command of [
    'demo',
    'models',
    'models pull',
    'run',
    'complete',
    'search',
    'check',
    'evaluate retrieval',
    'evaluate generation',
    'bench',
    'bench window',
    ...['stages', 'pool', 'memory', 'retrieval', 'load', 'quality'].map(name => `bench ${name}`),
    ...['transport', 'transport-model', 'transport-memory'].map(name => `bench ${name}`),
  ]) {
    const { status, stdout, stderr } = await lorastream([...command.split(' '), '--config', 'nowhere', '--help'])
    assert.deepEqual([status, stderr], [0, ''], command)
    assert.match(stdout, new RegExp(`^Usage: lorastream ${command} `))
    assert.ok(Math.max(...stdout.split('\n').map(line => line.length)) <= 100, `${command}: a terminal has 100 columns`)
  }
})

const wrong: readonly (readonly [args: readonly string[], says: RegExp])[] = [
  [
    ['demonstrate'],
    /"demonstrate" is not a command, expected demo, models, run, complete, search, check, evaluate or bench/,
  ],
  [['serch'], /did you mean search\?/],
  [['toString'], /"toString" is not a command/],
  [['models'], /"models" is missing what to do, expected pull/],
  [['models', 'pull', 'extra'], /"extra" is one argument too many/],
  [['complete', '--stratgy', 'x'], /--stratgy is not an option of "complete"; did you mean --strategy\?/],
  [['complete', '-x'], /-x is not an option of "complete"/],
  [['complete', '--in'], /--in has no value/],
  [['run'], /TOPOLOGY is missing/],
  [['run', 'a.ts', '--drain-seconds', '-1'], /--drain-seconds is "-1"/],
  [['complete', '--k', '0'], /--k is "0", expected a whole number from 1 to 64/],
  [['complete', '--k', '-1'], /--k is "-1", expected a whole number/],
  [['complete', '--k', '0x10'], /--k is "0x10"/],
  [
    ['complete', '--strategy', 'average'],
    /--strategy is "average", expected base, selection, mixture, fusion or adaptive/,
  ],
  [['complete', '--window-ms', '1e99'], /--window-ms is "1e99"/],
  [['complete', '--tokens=yes'], /--tokens is "yes", expected no value/],
  [['complete', '--device', 'tpu'], /--device is "tpu", expected cpu, cuda or webgpu/],
  [['complete', '--config', 'a.ts', '--model', 'b'], /--model and --config exclude each other/],
  [['search'], /TEXT is missing/],
  [['search', 'two', 'words'], /"words" is one argument too many; quote a text/],
  [['search', 'x', '--min-score', 'NaN'], /--min-score is "NaN", expected a number from -1000000 to 1000000/],
]

test('cli: wrong usage is one line that names the argument, on stderr, and exit 2', async () => {
  for (const [args, says] of wrong) {
    const { status, stdout, stderr } = await lorastream(args)
    assert.deepEqual([status, stdout], [2, ''], args.join(' '))
    assert.match(stderr, /^CONFIG_INVALID: [^\n]+\n$/)
    assert.match(stderr, says)
  }
})

const failing: readonly (readonly [args: readonly string[], says: RegExp])[] = [
  [['complete', '--config', 'nowhere.ts'], /^CONFIG_INVALID: nowhere\.ts: no such config file\n$/],
  [['run', 'nowhere.ts'], /^CONFIG_INVALID: nowhere\.ts: no such topology file\n$/],
  [['check', '--config', 'src/row.ts'], /^CONFIG_INVALID: src\/row\.ts: the default export is no config, /],
  [['check', '--model', 'nowhere', '--encoder', 'x'], /^MODEL_INVALID: nowhere: no such model directory or file\n$/],
  [['complete', ...config, '--in', 'nowhere.jsonl'], /^TRANSPORT_FAILED: nowhere\.jsonl cannot be read: .*\n$/],
]

test('cli: a failure of the work is one coded line on stderr, and exit 1', async () => {
  for (const [args, says] of failing) {
    const { status, stdout, stderr } = await lorastream(args)
    assert.deepEqual([status, stdout], [1, ''], args.join(' '))
    assert.match(stderr, says)
  }
})

test('complete: answers the lines that are prompts, names those that are not, and exits 0', async () => {
  const input = [
    '{"text":"first"}',
    '{nonsense',
    '{"text":"refuse me"}',
    '',
    '{"id":"mine","text":"second","adapters":[{"id":"paws"}],"metadata":{"a":"b"}}',
    '{"text":"third","adapters":[{"id":"nobody"}]}',
  ].join('\n')
  const { status, stdout, stderr } = await lorastream(['complete', ...config], { input })
  assert.equal(status, 0, stderr)
  const [first, second, ...rest] = parseLines(stdout)
  assert.equal(rest.length, 0)
  assert.equal(first?.['promptId'], '1')
  assert.deepEqual([second?.['promptId'], second?.['metadata']], ['mine', { a: 'b' }])
  assert.equal(first?.['tokens'], undefined)
  assert.match(stderr, /^SCHEMA_MISMATCH: stdin line 2: not JSON/m)
  assert.match(stderr, /^PROMPT_TOO_LONG: stdin line 3: /m)
  assert.match(stderr, /^ADAPTER_UNKNOWN: stdin line 6: .*"nobody"/m)
  assert.match(stderr, /^2 answered, 3 failed, /m)
})

test('complete: reads and writes files, token ids and dead letters where asked', async t => {
  const directory = await emptyDirectory(t)
  const paths = { in: join(directory, 'in.jsonl'), out: join(directory, 'out.jsonl'), dead: join(directory, 'dead') }
  await writeFile(paths.in, '{"text":"a"}\nno\n{"text":"b","k":1}\n')
  const files = ['--in', paths.in, '--out', paths.out, '--dead-letters', paths.dead]
  const { status, stdout } = await lorastream(['complete', ...config, ...files, '--tokens', '--strategy', 'fusion'])
  assert.deepEqual([status, stdout], [0, ''])
  const completions = parseLines(await readFile(paths.out, 'utf8'))
  assert.equal(completions.length, 2)
  for (const { provenance, tokens } of completions) {
    assert.ok(Array.isArray(tokens))
    assert.ok(isRecord(provenance) && provenance['strategy'] === 'FUSION')
  }
  const [letter] = parseLines(await readFile(paths.dead, 'utf8'))
  assert.deepEqual([letter?.['offset'], letter?.['code'], letter?.['value']], [2, 'SCHEMA_MISMATCH', 'no'])
})

test('complete: the first interrupt drains what was read, and the exit says that it was interrupted', async () => {
  const running = start(['complete', ...config])
  running.process.stdin?.write('{"text":"before"}\n')
  await running.printed('before')
  running.process.kill('SIGINT')
  const { status, stdout } = await running.outcome
  assert.equal(status, 130)
  assert.equal(parseLines(stdout).length, 1)
})

test('search: lists as many adapters as asked, the most similar first', async () => {
  const { status, stdout } = await lorastream(['search', 'sentence', ...config, '--k', '5', '--json'])
  assert.equal(status, 0)
  const [found] = parseLines(stdout)
  const hits = found?.['hits']
  assert.ok(Array.isArray(hits) && hits.length === 5)
  const scores = hits.map(hit => (isRecord(hit) ? Number(hit['score']) : Number.NaN))
  assert.deepEqual(
    scores,
    scores.toSorted((a, b) => b - a),
  )
  const text = await lorastream(['search', 'sentence', ...config, '--min-score', '1000'])
  assert.deepEqual([text.status, text.stdout], [0, ''])
  assert.match(text.stderr, /^none of the 19 adapters/)
})

test('check: prints every part, and an adapter that was refused makes it exit 1', async t => {
  const good = await lorastream(['check', ...config])
  assert.equal(good.status, 0, good.stderr)
  for (const says of [
    /^encoder +hash$/m,
    /19 admitted, 0 refused/,
    /^engine +echo 1, float32 on cpu$/m,
    /^transport /m,
  ])
    assert.match(good.stdout, says)

  const folder = await emptyDirectory(t)
  await cp('adapters/paws', join(folder, 'paws'), { recursive: true })
  await cp('adapters/paws', join(folder, 'broken'), { recursive: true })
  await writeFile(join(folder, 'broken', 'adapter_model.safetensors'), 'not a tensor')
  const bad = await lorastream(['check', ...config], { env: { TEST_ADAPTERS: folder } })
  assert.equal(bad.status, 1)
  assert.match(bad.stdout, /1 admitted, 1 refused/)
  assert.match(bad.stderr, /^ADAPTER_INVALID: 1 refused, the first is broken: [^\n]+\n$/)
})

test('demo: shows prompts, answers, adapters, windows and a summary, and colours nothing that is no terminal', async () => {
  const { status, stdout, stderr } = await lorastream(['demo', ...config])
  assert.deepEqual([status, stderr], [0, ''])
  for (const says of [
    /^window 1: 16 prompts, closed by SIZE, \d+ adapters, retrieve \d+ ms, infer \d+ ms, .* tokens\/s$/m,
    /^  prompt +\S/m,
    /^  answer +\S/m,
    /^  target +\S/m,
    /^  adapters +[a-z_]+ 0\.33 \(-?\d\.\d\d\) · [a-z_]+ 0\.33/m,
    /38 of 38 prompts in 3 windows, 0 failed/,
    /^  Kafka/m,
  ])
    assert.match(stdout, says)
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(stdout, /\u001b/)
  assert.ok(Math.max(...stdout.split('\n').map(line => line.length)) <= 100)
})

test('demo --json: a completion a line, of several tasks, each with its target and its adapters; options override', async () => {
  const { status, stdout } = await lorastream(['demo', ...config, '--json', '--strategy', 'selection', '--k', '1'])
  assert.equal(status, 0)
  const completions = parseLines(stdout)
  assert.ok(completions.length >= 24)
  const tasks = completions.map(({ metadata, provenance }) => {
    assert.ok(isRecord(metadata) && isRecord(provenance) && typeof metadata['target'] === 'string')
    assert.ok(Array.isArray(provenance['adapters']) && provenance['adapters'].length === 1)
    assert.equal(provenance['strategy'], 'SELECTION')
    return metadata['task']
  })
  assert.ok(new Set(tasks).size >= 8)
})

test('demo: a reader that has seen enough is no error', async () => {
  const running = start(['demo', ...config])
  await running.printed('window 1')
  running.process.stdout?.destroy()
  const { status, stderr } = await running.outcome
  assert.deepEqual([status, stderr], [0, ''])
})

function parseLines(text: string): readonly Readonly<Record<string, unknown>>[] {
  const lines = text.split('\n').filter(line => line !== '')
  return lines.map(line => {
    const value: unknown = JSON.parse(line)
    assert.ok(isRecord(value))
    return value
  })
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

async function emptyDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'lorastream-cli-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}
