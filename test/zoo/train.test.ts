import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { missingProgram } from '../../infra/program.ts'
import { readSamples } from '../../src/adapters/samples.ts'
import { linearModules, modelDigest, openModel } from '../../src/hf/model.ts'
import { openPeft } from '../../src/hf/peft.ts'
import { temporaryFolder } from '../support/peft-files.ts'
import { root } from '../support/source.ts'

const tinyLlama = join(root, 'test/fixtures/golden/tiny-llama')
const own = join(root, 'zoo/.venv/bin/python')
/** Where docs/zoo.md installs the requirements, unless the environment names another Python; that one must do. */
const meant = process.env['ZOO_PYTHON'] ?? (existsSync(own) ? own : undefined)
const python = meant ?? 'python3'

const absent = meant === undefined && (await missingProgram(python, '--version')) !== undefined
const noPython = absent && `${python} is not there: THE TRAINING TOOL IS NOT TESTED`
const noTorch = noPython || (meant === undefined && lacking())
const timeout = 600_000

/** Looked up, not imported: PyTorch takes seconds to load. */
function lacking(): string | false {
  const names = ['torch', 'transformers', 'peft', 'safetensors', 'numpy']
  const code = `from importlib.util import find_spec; print(*[n for n in ${JSON.stringify(names)} if find_spec(n) is None])`
  const { status, stdout, stderr } = spawnSync(python, ['-c', code], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  const missing = stdout.trim()
  return missing !== '' && `${python} has no ${missing} (docs/zoo.md): TRAINING ADAPTERS IS NOT TESTED`
}

type Run = { readonly status: number | null; readonly stdout: string; readonly stderr: string }

async function zoo(script: string, ...args: readonly string[]): Promise<Run> {
  // One thread, so that sums are the same on any machine, however busy.
  const child = spawn(python, [join(root, 'zoo', script), ...args], { env: { ...process.env, OMP_NUM_THREADS: '1' } })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('close', resolve).once('error', reject)
  })
  return { status, stdout, stderr }
}

async function dataFile(t: TestContext, lines: readonly string[], name = 'task.jsonl'): Promise<string> {
  const path = join(await temporaryFolder(t), name)
  await writeFile(path, lines.join('\n'))
  return path
}

const good = (index: number): string => JSON.stringify({ prompt: `Say ${index}.`, target: `${index}` })

test('a mistake in the data is told with its line, and nothing is written', { skip: noPython, timeout }, async t => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [[good(1), '', '{"prompt": "x"'], /task\.jsonl line 3: is not JSON/],
    [[good(1), '["x"]'], /line 2: is \["x"\], expected an object with a prompt and a target/],
    [['{"prompt": "x", "answer": "y"}'], /line 1: has only prompt, answer, expected one of target or completion/],
    [['{"prompt": "x", "text": "x", "target": "y"}'], /line 1: prompt and text, expected one of prompt or text/],
    [['{"prompt": "x", "target": ""}'], /line 1: target is "", expected a text/],
    [['{"prompt": 7, "target": "x"}'], /line 1: prompt is 7, expected a text/],
    [[String.raw`{"prompt": "\ud800", "target": "x"}`], /line 1: prompt has half a surrogate pair at 0/],
    [['', '  '], /task\.jsonl: no rows, expected JSON lines such as/],
  ]
  for (const [lines, message] of cases) {
    const data = await dataFile(t, lines)
    const out = join(data, '../adapter')
    const { status, stderr } = await zoo('train.py', '--data', data, '--out', out)
    assert.equal(status, 1, stderr)
    assert.match(stderr, message)
    assert.doesNotMatch(stderr, /Traceback/)
    assert.ok(!existsSync(out))
  }
  const bytes = await dataFile(t, [])
  await writeFile(bytes, Buffer.from([0x7b, 0xff]))
  assert.match((await zoo('train.py', '--data', bytes, '--out', 'x')).stderr, /line 1: is not UTF-8 at byte 1/)
  assert.match(
    (await zoo('train.py', '--data', 'nowhere.jsonl', '--out', 'x')).stderr,
    /nowhere\.jsonl: cannot be read/,
  )
  assert.equal((await zoo('train.py', '--data', bytes, '--out', 'x', '--rank', '0')).status, 2)
})

test('what is trained is admitted, told in full, and the same each time', { skip: noTorch, timeout }, async t => {
  const lines = Array.from({ length: 30 }, (_, index) => good(index))
  const folder = await temporaryFolder(t)
  const data = join(folder, 'data')
  await mkdir(data)
  for (const name of ['one', 'two']) await writeFile(join(data, `${name}.jsonl`), lines.join('\n'))
  const recipes = join(folder, 'recipes.json')
  const recipe = { rank: 4, alpha: 4, rslora: true, targets: 'q_proj,down_proj', layers: '1:2', steps: 3 }
  await writeFile(recipes, JSON.stringify({ one: recipe, two: recipe }))
  const out = join(folder, 'adapters')
  const options = ['--base', tinyLlama, '--data', data, '--out', out, '--recipes', recipes, '--license', 'CC0-1.0']
  const { status, stderr } = await zoo('rebuild.py', ...options)
  assert.equal(status, 0, stderr)
  assert.deepEqual((await readdir(out)).toSorted(), ['one', 'two'])

  const model = await openModel(tinyLlama)
  const found = await Promise.all(['one', 'two'].map(name => openPeft(join(out, name), linearModules(model.config))))
  // The second was trained in the same process: nothing of the first is left on the base.
  assert.equal(found[0]?.digest, found[1]?.digest)
  const [{ digest, modules } = assert.fail()] = found
  assert.deepEqual([...modules.keys()].toSorted(), ['model.layers.1.mlp.down_proj', 'model.layers.1.self_attn.q_proj'])
  for (const { rank, scale } of modules.values()) assert.deepEqual([rank, scale], [4, 2])

  const samples = await readSamples(join(out, 'one'))
  assert.equal(new Set(samples).size, 20)
  for (const sample of samples) assert.match(sample, /^Say \d+\.$/)
  const readme = await readFile(join(out, 'one', 'README.md'), 'utf8')
  for (const told of [digest, await modelDigest(model), 'CC0-1.0', 'rank 4, alpha 4', 'layers 1 to 1', 'seed 1'])
    assert.ok(readme.includes(told), `${told} is not in\n${readme}`)

  const before = await stat(join(out, 'one', 'README.md'))
  const again = await zoo('rebuild.py', ...options)
  assert.match(again.stderr, /0 of 2 to train/)
  assert.equal((await stat(join(out, 'one', 'README.md'))).mtimeMs, before.mtimeMs)
  const taken = await zoo('train.py', '--base', tinyLlama, '--data', join(data, 'one.jsonl'), '--out', join(out, 'one'))
  assert.match(taken.stderr, /is there already; --force replaces it/)
})
