import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** What was read is answered within fifteen seconds, or given up; then it leaves its group. */
const LEAVE_TIMEOUT_MS = 40_000

/** A process of `lorastream run`. */
export type Instance = {
  signal(name: NodeJS.Signals): void
  /** Whether it ended though nobody asked it to. */
  readonly gaveUp: boolean
  /** SIGTERM, and SIGKILL when that takes too long: false then. */
  leave(): Promise<boolean>
  kill(): Promise<void>
}

/** Starts an instance that answers on the topics `TRIAL.prompts`, …; its stderr goes to the end of a file, or nowhere. */
export function startInstance(env: Readonly<Record<string, string>>, log: string | undefined): Instance {
  const args = ['--conditions=source', '--import', 'tsx', 'src/cli.ts', 'run', 'test/e2e/trial-topology.ts']
  const output = log === undefined ? 'ignore' : openSync(log, 'a')
  const child = spawn(process.execPath, [...args, '--config', 'test/e2e/trial-config.ts'], {
    cwd: root,
    env: { ...process.env, ...env, NODE_TEST_CONTEXT: '' },
    stdio: ['ignore', 'ignore', output],
  })
  if (typeof output === 'number') closeSync(output)
  const end = (): void => void child.kill('SIGKILL')
  process.once('exit', end)
  child.once('exit', () => process.off('exit', end))
  const over = once(child, 'exit')
  let asked = false
  return {
    signal: name => void child.kill(name),
    get gaveUp() {
      return !asked && (child.exitCode !== null || child.signalCode !== null)
    },
    async leave() {
      if (child.exitCode !== null) return true
      asked = true
      child.kill('SIGTERM')
      const timer = new AbortController()
      const left = await Promise.race([
        // One that is told so early that it does not listen yet has read nothing.
        over.then(() => child.exitCode === 0 || child.signalCode === 'SIGTERM'),
        setTimeout(LEAVE_TIMEOUT_MS, false, { signal: timer.signal }).catch(() => false),
      ])
      timer.abort()
      if (!left) child.kill('SIGKILL')
      await over
      return left
    },
    async kill() {
      asked = true
      child.kill('SIGKILL')
      await over
    },
  }
}
