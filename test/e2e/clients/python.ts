import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const cache = fileURLToPath(new URL('../../../.cache', import.meta.url))
const requirements = fileURLToPath(new URL('requirements.txt', import.meta.url))
const program = fileURLToPath(new URL('client.py', import.meta.url))
/** Wheels for common platforms, 10 MB together; a slow index has its time. */
const INSTALL_TIMEOUT_MS = 180_000
const RUN_TIMEOUT_MS = 120_000

/** Runs `client.py` with arguments; what it printed. */
export type Python = (args: readonly string[], env: Readonly<Record<string, string>>) => Promise<string>

/** Python with the pinned client, in a virtual environment of its own, made once. Where it cannot be had, the reason. */
export async function findPython(): Promise<Python | { readonly missing: string }> {
  const name = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 12)
  const folder = `${cache}/python-${name}`
  if (!existsSync(`${folder}/made`))
    try {
      await make(folder)
    } catch (error) {
      const reason = error instanceof Error ? error.message.trim().split('\n').at(-1) : String(error)
      return { missing: `python3 with venv and pip, and ${readFileSync(requirements, 'utf8').trim()}: ${reason}` }
    }
  return async (args, env) => {
    const options = { env: { ...process.env, ...env }, timeout: RUN_TIMEOUT_MS, maxBuffer: 64 * 2 ** 20 }
    return (await execute(`${folder}/bin/python`, [program, ...args], options)).stdout
  }
}

/** Virtual environments cannot be moved, so that it is whole is told by a folder made last. */
async function make(folder: string): Promise<void> {
  await mkdir(cache, { recursive: true })
  await rm(folder, { recursive: true, force: true })
  await execute('python3', ['-m', 'venv', folder])
  const install = ['install', '--quiet', '--disable-pip-version-check', '--requirement', requirements]
  await execute(`${folder}/bin/pip`, install, { timeout: INSTALL_TIMEOUT_MS })
  await mkdir(`${folder}/making`)
  await rename(`${folder}/making`, `${folder}/made`)
}
