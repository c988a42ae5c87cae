import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sourceFiles, type SourceFile } from './support/source.ts'

const maxLines = 300
const language = new Set(
  ['lora', 'events', 'ports', 'errors', 'stage', 'prompt', 'row', 'version'].map(name => `src/${name}.ts`),
)
const kits = new Set(['onnx', 'hf'])
const stages = new Set(['transport', 'codec', 'window', 'retrieve', 'adapters', 'compose', 'infer', 'publish'])

const src = sourceFiles('src')

/** `hf` of `src/hf/gguf.ts`, nothing of `src/index.ts`. */
function folderOf(path: string): string | undefined {
  return /^src\/([^/]+)\//.exec(path)?.[1]
}

function isOurs(target: string): boolean {
  return target.endsWith('.ts')
}

/** Imports within the repository that a file may not have. */
function forbidden(file: SourceFile): readonly string[] {
  const folder = folderOf(file.path)
  const kit = folder !== undefined && kits.has(folder)
  const stage = folder !== undefined && stages.has(folder)
  if (!language.has(file.path) && !kit && !stage)
    return file.imports.filter(target => target === 'src/index.ts' || target === 'src/cli.ts')
  return file.imports.filter(isOurs).filter(target => {
    const there = folderOf(target)
    if (folder !== undefined && there === folder) return false
    if (kit) return target !== 'src/errors.ts' && target !== 'src/lora.ts'
    return !language.has(target) && !(stage && there !== undefined && kits.has(there))
  })
}

test('architecture: kits know errors and LoRAs, stages know the language and the kits, nobody a sibling', () => {
  assert.ok(src.length > 30)
  const found = src.flatMap(file => forbidden(file).map(target => `${file.path} imports ${target}`))
  assert.deepEqual(found, [])
})

function importing(path: string, target: string): SourceFile {
  return { path, text: '', imports: [target], reexports: [] }
}

test('architecture: the rule sees a kit that imports a stage, a stage that imports a sibling, and the language an app file', () => {
  for (const [path, target] of [
    ['src/onnx/graph.ts', 'src/infer/layers.ts'],
    ['src/hf/gguf.ts', 'src/onnx/graph.ts'],
    ['src/hf/gguf.ts', 'src/events.ts'],
    ['src/infer/infer.ts', 'src/compose/compose.ts'],
    ['src/window/window.ts', 'src/schemas.ts'],
    ['src/prompt.ts', 'src/hf/json.ts'],
    ['src/config.ts', 'src/index.ts'],
  ] as const)
    assert.deepEqual(forbidden(importing(path, target)), [target], `${path} ${target}`)
  for (const [path, target] of [
    ['src/infer/infer.ts', 'src/infer/batch.ts'],
    ['src/infer/infer.ts', 'src/onnx/graph.ts'],
    ['src/config.ts', 'src/infer/infer.ts'],
    ['src/hf/gguf.ts', 'src/errors.ts'],
  ] as const)
    assert.deepEqual(forbidden(importing(path, target)), [], `${path} ${target}`)
})

test("architecture: every third-party module has one owner; rxjs is everybody's", () => {
  const owners = new Map<string, string[]>()
  for (const { path, imports } of src)
    for (const target of new Set(imports))
      if (!isOurs(target) && !target.startsWith('node:') && target !== 'rxjs')
        owners.set(target, [...(owners.get(target) ?? []), path])
  assert.ok(owners.size > 3)
  assert.deepEqual(
    [...owners].filter(([, paths]) => paths.length > 1),
    [],
  )
})

test('architecture: one index, and nobody else exports what another file has', () => {
  const found = src.filter(({ path }) => path !== 'src/index.ts')
  assert.deepEqual(
    found.filter(({ path, reexports }) => reexports.length > 0 || path.endsWith('/index.ts')).map(({ path }) => path),
    [],
  )
  assert.doesNotMatch(src.find(({ path }) => path === 'src/index.ts')?.text ?? '', /export \*/)
})

test('architecture: topologies import what a user has, lorastream and rxjs', () => {
  const allowed = new Set(['lorastream', 'rxjs'])
  const found = sourceFiles('topologies').flatMap(({ path, imports }) =>
    imports.filter(target => !allowed.has(target)).map(target => `${path} imports ${target}`),
  )
  assert.deepEqual(found, [])
})

function lines(text: string): number {
  return text.trimEnd().split('\n').length
}

test(`architecture: no file has more than ${maxLines} lines`, () => {
  const all = ['src', 'test', 'topologies', 'infra', 'pictures'].flatMap(sourceFiles)
  assert.deepEqual(
    all.filter(({ text }) => lines(text) > maxLines).map(({ path, text }) => `${path}: ${lines(text)}`),
    [],
  )
})
