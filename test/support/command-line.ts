import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** What a command left behind. */
export type Outcome = { readonly status: number | null; readonly stdout: string; readonly stderr: string }

export type Running = {
  readonly process: ChildProcess
  /** Resolves when the text was printed on stdout; never, when it is not. */
  printed(text: string): Promise<void>
  readonly outcome: Promise<Outcome>
}

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Starts the CLI from source, as `npm -s start -- ARGS` does, with nothing of a terminal about it. */
export function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
  const child = spawn(process.execPath, ['--conditions=source', '--import', 'tsx', 'src/cli.ts', ...args], {
    cwd: root,
    env: { ...process.env, ...env, NODE_TEST_CONTEXT: '' },
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => (output[name] += text))
  return {
    process: child,
    async printed(text) {
      while (!output.stdout.includes(text)) await once(child.stdout, 'data')
    },
    outcome: once(child, 'close').then(() => ({ status: child.exitCode, ...output })),
  }
}

/** Runs the CLI to its end. */
export async function lorastream(
  args: readonly string[],
  { input = '', env = {} }: { readonly input?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Outcome> {
  const running = start(args, env)
  running.process.stdin?.end(input)
  return await running.outcome
}
