import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { generation } from '../../src/cli/evaluate/generation.ts'
import { lorastream } from '../support/command-line.ts'
import { temporaryFolder } from '../support/peft-files.ts'

const config = ['--config', 'test/support/echo-config.ts']

test('evaluate generation: wrong usage is refused before anything is opened', () => {
  for (const [args, message] of [
    [[], /--data is missing/],
    [['--data', 'x', '--mode', 'id'], /--mode is "id", expected perfect, iid or ood/],
    [['--data', 'x', '--weights', 'softmax'], /--tau is missing/],
    [
      ['--data', 'x', '--weights', 'softmax', '--tau', '0.1', '--strategy', 'adaptive'],
      /--weights softmax goes with --strategy mixture or fusion, found "adaptive"/,
    ],
    [
      ['--data', 'x', '--weights', 'softmax', '--tau', '0.1', '--strategy', 'selection'],
      /--weights softmax goes with --strategy mixture or fusion, found "selection"/,
    ],
    [['--data', 'x', '--weights', 'softmax', '--tau', '0.1', '--strategy', 'base'], /found "base"/],
    [['--data', 'x', '--answers', 'a.jsonl', ...config], /--answers and --config exclude each other: .* template/],
    [['--data', 'x', '--tau', '0.1'], /--tau is given, expected with --weights softmax/],
    [['--data', 'x', '--table', 'out', '--k', '3'], /--k and --table exclude each other/],
    [['--data', 'x', '--limit', '0'], /--limit is "0"/],
  ] as const)
    assert.throws(() => generation.prepare(args), { code: 'CONFIG_INVALID', message })
})

test('evaluate generation: a trial as JSON, the table with a file for each row, and bad data by line', async t => {
  const folder = await temporaryFolder(t)
  const data = join(folder, 'items.jsonl')
  const item = {
    adapter: 'common_gen',
    cluster: 'talk',
    metric: 'rouge-l',
    text: 'will it rain',
    target: 'will it rain',
  }
  await writeFile(data, `${JSON.stringify(item)}\n`)
  const one = await lorastream(['evaluate', 'generation', '--data', data, '--mode', 'ood', '--json', ...config])
  assert.equal(one.status, 0, one.stderr)
  const result: unknown = JSON.parse(one.stdout)
  for (const field of [
    'n',
    'overall',
    'clusters',
    'normalised',
    'interval',
    'mode',
    'strategy',
    'k',
    'tokensPerSecond',
  ])
    assert.ok(typeof result === 'object' && result !== null && field in result, field)
  // Nobody is told what scorer the config's pool has.
  assert.ok(typeof result === 'object' && result !== null && 'scorer' in result && result.scorer === null)

  const out = join(folder, 'table')
  const table = await lorastream(['evaluate', 'generation', '--data', data, '--table', out, ...config])
  assert.equal(table.status, 0, table.stderr)
  assert.match(table.stdout, /\| perfect selection \|/)
  const files = await readdir(out)
  for (const name of ['perfect', 'base', 'mixture-k5-ood']) assert.ok(files.includes(`${name}.json`))
  // Nor what template its engine has, so that no other run may take these answers for its own.
  assert.ok(!files.includes('answers.jsonl'))

  await writeFile(data, `${JSON.stringify(item)}\n${JSON.stringify({ ...item, adapter: 'nobody' })}\n`)
  const unknown = await lorastream(['evaluate', 'generation', '--data', data, ...config])
  assert.equal(unknown.status, 1)
  assert.match(unknown.stderr, /ADAPTER_UNKNOWN: .*items\.jsonl line 2: adapter "nobody" is not in the pool/)
})

test('evaluate generation: without a config the scorer is told, and the answers of a table are kept beside it', async t => {
  const folder = await temporaryFolder(t)
  const data = join(folder, 'items.jsonl')
  await writeFile(data, '{"adapter":"a_r4","cluster":"c","metric":"em","text":"one","target":"y"}\n')
  const parts = ['--model', 'test/fixtures/golden/tiny-llama', '--encoder', 'test/fixtures/encoder/tiny']
  const more = ['--adapters', 'test/fixtures/golden/adapters', '--template', 'raw', '--scorer', 'cosine']
  const out = join(folder, 'table')
  const all = ['--data', data, '--table', out, '--json', '--max-tokens', '2', '--cache', join(folder, 'cache')]
  const { status, stdout, stderr } = await lorastream(['evaluate', 'generation', ...all, ...parts, ...more])
  assert.equal(status, 0, stderr)
  const rows: unknown = JSON.parse(stdout)
  assert.ok(Array.isArray(rows) && rows.length > 0)
  for (const row of rows as readonly unknown[])
    assert.ok(typeof row === 'object' && row !== null && 'scorer' in row && row.scorer === 'cosine')
  assert.match(await readFile(join(out, 'answers.jsonl'), 'utf8'), /^\{"key":"[0-9a-f]{64}","text":/)
})
