import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { root } from './support/source.ts'

const execute = promisify(execFile)

/** They begin to work when they are loaded; their own tests start them. */
function runs(name: string): boolean {
  return name === 'cli.js' || name.endsWith('-worker.js')
}

// tsx and bundlers forgive a named import that a CommonJS module does not have; Node does not.
test('imports: every module that is built loads in plain Node', async t => {
  const cache = join(root, 'node_modules', '.cache')
  await mkdir(cache, { recursive: true })
  const folder = await mkdtemp(join(cache, 'imports-'))
  t.after(() => rm(folder, { recursive: true }))
  const dist = join(folder, 'dist')
  await copyFile(join(root, 'package.json'), join(folder, 'package.json'))
  await symlink(join(root, 'schemas'), join(folder, 'schemas'))
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  // Whether types agree is for `npm run check`; files are written all the same.
  await execute(process.execPath, [tsc, '-p', join(root, 'src'), '--outDir', dist]).catch(() => {})
  const names = (await readdir(dist, { recursive: true })).filter(name => name.endsWith('.js') && !runs(name))
  assert.ok(names.length > 30)

  const script = `
    const failed = []
    for (const url of process.argv.slice(1)) await import(url).catch(error => failed.push(url + ': ' + error))
    console.log(JSON.stringify(failed))
    process.exit()`
  const urls = names.map(name => pathToFileURL(join(dist, name)).href)
  const { stdout } = await execute(process.execPath, ['--input-type=module', '--eval', script, ...urls])
  assert.deepEqual(JSON.parse(stdout), [])
})
