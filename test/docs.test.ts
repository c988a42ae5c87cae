import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { parsePrompt } from '../src/prompt.ts'
import { lorastream } from './support/command-line.ts'

const documents = ['README.md', 'CONTRIBUTING.md'] as const
const all = [...documents, ...readdirSync('docs').flatMap(name => (name.endsWith('.md') ? [join('docs', name)] : []))]
const readme = readFileSync('README.md', 'utf8')
const manifest: unknown = JSON.parse(readFileSync('package.json', 'utf8'))
const source = 'node --conditions=source --import tsx src/cli.ts'

/** The fenced blocks of a document in a language. */
function blocks(document: string, language: string): readonly string[] {
  const found = readFileSync(document, 'utf8').matchAll(/^```(\w+)\n(.*?)^```$/gms)
  return [...found].flatMap(([, name, text = '']) => (name === language ? [text] : []))
}

function scripts(): ReadonlyMap<string, unknown> {
  assert.ok(typeof manifest === 'object' && manifest !== null && 'scripts' in manifest)
  return new Map(Object.entries(manifest.scripts ?? {}))
}

test('docs: every TypeScript block of the README is a shipped topology, word for word', () => {
  const files = readdirSync('topologies').map(name => readFileSync(`topologies/${name}`, 'utf8'))
  const shown = blocks('README.md', 'ts')
  assert.ok(shown.length > 0)
  for (const block of shown) assert.ok(files.includes(block), `no file in topologies/ is\n${block}`)
})

test('docs: every JSON line of the README is a prompt', () => {
  const lines = blocks('README.md', 'json').flatMap(block => block.trim().split('\n'))
  assert.ok(lines.length > 0)
  for (const line of lines) assert.ok(parsePrompt(JSON.parse(line)).text.length > 0)
})

test('docs: the commands of the documents run', () => {
  const commands = documents.flatMap(document => blocks(document, 'sh').flatMap(block => block.trim().split('\n')))
  assert.ok(commands.length > 5)
  for (const command of commands) {
    if (!command.includes('npm -s start --')) continue
    // The same command line, on parts that need no download.
    const line = `${command.replace('npm -s start --', source)} --config test/support/echo-config.ts`
    const { status, stderr } = spawnSync('sh', ['-c', line], { encoding: 'utf8' })
    assert.equal(status, 0, `${command}\n${stderr}`)
  }
})

test('docs: every npm script and every test that the documents name is there', () => {
  const named = all.flatMap(document => {
    const text = readFileSync(document, 'utf8')
    const code = [...blocks(document, 'sh'), ...captured(text, /`([^`\n]+)`/g)]
    return code.flatMap(line =>
      [...line.matchAll(/\bnpm (?:-s )?(?:run )?(?:-s )?([\w:-]+)/g)].map(([, name = '']) => name),
    )
  })
  for (const script of ['demo', 'test:e2e', 'test:faults', 'with-kafka']) assert.ok(named.includes(script), script)
  for (const name of named)
    assert.ok(['ci', 'install'].includes(name) || scripts().has(name), `package.json has no script ${name}`)
  for (const document of all)
    for (const block of blocks(document, 'sh'))
      for (const [path] of block.matchAll(/\btest\/\S+/g)) assert.ok(existsSync(path), `${document}: no file ${path}`)
})

test('docs: every link leads to a file, and to a heading of it', () => {
  for (const document of all)
    for (const link of captured(readFileSync(document, 'utf8'), /\]\(([^)\s:]+)\)/g)) {
      const [path = '', heading] = link.split('#')
      const target = path === '' ? document : join(dirname(document), path)
      assert.ok(existsSync(target), `${document}: ${link}`)
      if (heading === undefined) continue
      const headings = captured(readFileSync(target, 'utf8'), /^#+ (.+)$/gm)
      const anchors = headings.map(title =>
        title
          .toLowerCase()
          .replaceAll(/[^\w\s-]/g, '')
          .replaceAll(' ', '-'),
      )
      assert.ok(anchors.includes(heading), `${document}: ${link}`)
    }
})

test('docs: the README knows every command, every option and every error, and no other', async () => {
  const usage = section('Commands and options')
  const { stdout: help } = await lorastream(['--help'])
  assert.deepEqual(captured(usage, /^\| `([a-z]+)/gm), captured(help, /^ {2}([a-z]+) /gm))

  const { stdout: options } = await lorastream(['complete', '--help'])
  const told = captured(usage, /^\| (`--.*?) \|/gm).flatMap(names => captured(names, /(--[a-z-]+)/g))
  const own = ['--in', '--out', '--dead-letters', '--tokens']
  assert.deepEqual(new Set([...told, ...own]), new Set(captured(options, /^ {2}(--[a-z-]+)/gm)))

  const codes = captured(readFileSync('src/errors.ts', 'utf8'), /readonly code = '([A-Z_]+)'/g)
  assert.deepEqual(captured(section('Errors'), /^\| `([A-Z_]+)` \| `\w+` \|/gm), codes)
})

test('docs: every runtime dependency has its reason in the README, and every contract that it names is there', () => {
  assert.ok(typeof manifest === 'object' && manifest !== null && 'dependencies' in manifest)
  const reasons = captured(section('Dependencies'), /^\| `(\S+)` \|/gm)
  assert.deepEqual(new Set(reasons), new Set(Object.keys(manifest.dependencies ?? {})))
  for (const path of captured(section('Seams'), /(test\/contracts\/[a-z-]+\.ts)/g)) assert.ok(existsSync(path), path)
})

/** What the first group of a pattern finds, in order. */
function captured(text: string, pattern: RegExp): readonly string[] {
  return [...text.matchAll(pattern)].map(([, found = '']) => found)
}

/** A section of the README, without its heading. */
function section(title: string): string {
  const [, text = ''] = readme.split(`\n## ${title}\n`)
  assert.notEqual(text, '', `no section ${title}`)
  return text.split('\n## ')[0] ?? ''
}
