import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { neededSecret, secret } from '../../src/cli/secret.ts'
import { ConfigError } from '../../src/errors.ts'
import { environment } from '../support/environment.ts'

const folder = await mkdtemp(join(tmpdir(), 'lorastream-secret-'))
after(() => rm(folder, { recursive: true }))
const unset = { A_SECRET: '', A_SECRET_FILE: '' }

async function file(content: string): Promise<string> {
  const path = join(folder, 'secret')
  await writeFile(path, content)
  return path
}

test('secret: from the variable, or from the file that it names without its line end, or not there', async t => {
  assert.equal(secret('A_SECRET'), undefined)
  environment(t, unset)
  assert.equal(secret('A_SECRET'), undefined)
  process.env['A_SECRET'] = 'one'
  assert.equal(secret('A_SECRET'), 'one')
  process.env['A_SECRET'] = ''
  for (const end of ['', '\n', '\r\n']) {
    process.env['A_SECRET_FILE'] = await file(` two ${end}`)
    assert.equal(secret('A_SECRET'), ' two ')
  }
})

test('secret: both, an empty file, one that is not there and one that is no secret are refused without quoting it', async t => {
  environment(t, unset)
  const refused = (reason: RegExp): void =>
    assert.throws(
      () => neededSecret('A_SECRET'),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError)
        assert.match(error.message, reason)
        assert.doesNotMatch(error.message, /hidden/)
        return true
      },
    )
  refused(/^A_SECRET is not set, and neither is A_SECRET_FILE/)
  process.env['A_SECRET'] = 'hidden'
  process.env['A_SECRET_FILE'] = await file('hidden')
  refused(/both set/)
  process.env['A_SECRET'] = ''
  process.env['A_SECRET_FILE'] = await file('\n')
  refused(/A_SECRET_FILE: .* is empty/)
  process.env['A_SECRET_FILE'] = await file('hidden'.repeat(200_000))
  refused(/too large/)
  process.env['A_SECRET_FILE'] = join(folder, 'nowhere')
  refused(/nowhere cannot be read/)
})
