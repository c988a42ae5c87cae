import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { generation } from '../../src/cli/evaluate/generation.ts'
import { lorastream } from '../support/command-line.ts'
import { temporaryFolder } from '../support/peft-files.ts'

test('evaluate generation: wrong usage is refused before anything is opened', () => {
  for (const [args, message] of [
    [[], /--data is missing/],
    [['--data', 'x', '--mode', 'id'], /--mode is "id", expected perfect, iid or ood/],
    [['--data', 'x', '--weights', 'softmax'], /--tau is missing/],
    [['--data', 'x', '--tau', '0.1'], /--tau is given, expected with --weights softmax/],
    [['--data', 'x', '--table', 'out', '--k', '3'], /--k and --table exclude each other/],
    [['--data', 'x', '--limit', '0'], /--limit is "0"/],
  ] as const)
    assert.throws(() => generation.prepare(args), { code: 'CONFIG_INVALID', message })
})

const config = ['--config', 'test/support/echo-config.ts']

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

  const out = join(folder, 'table')
  const table = await lorastream(['evaluate', 'generation', '--data', data, '--table', out, ...config])
  assert.equal(table.status, 0, table.stderr)
  assert.match(table.stdout, /\| perfect selection \|/)
  const files = await readdir(out)
  for (const name of ['perfect', 'base', 'mixture-k5-ood', 'answers'])
    assert.ok(files.some(file => file.startsWith(`${name}.json`)))

  await writeFile(data, `${JSON.stringify(item)}\n${JSON.stringify({ ...item, adapter: 'nobody' })}\n`)
  const unknown = await lorastream(['evaluate', 'generation', '--data', data, ...config])
  assert.equal(unknown.status, 1)
  assert.match(unknown.stderr, /ADAPTER_UNKNOWN: .*items\.jsonl line 2: adapter "nobody" is not in the pool/)
})
