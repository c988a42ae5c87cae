#!/usr/bin/env node
import { alternatives, hint } from './cli/arguments.ts'
import type { Command, Commands, Group } from './cli/command.ts'
import { terminal as openTerminal } from './cli/terminal.ts'
import { ConfigError, LorastreamError } from './errors.ts'
import { version } from './version.ts'

const commands: Commands = {
  demo: {
    summary: 'real prompts through the whole topology: see what this does',
    load: async () => (await import('./cli/demo.ts')).demo,
  },
  models: {
    summary: 'models pull: fetch the demo base model and encoder',
    load: async () => (await import('./cli/models.ts')).models,
  },
  run: {
    summary: 'the main job on Kafka: consume, answer, publish',
    load: async () => (await import('./cli/run.ts')).run,
  },
  complete: {
    summary: 'prompts in, completions out, as JSON lines',
    load: async () => (await import('./cli/complete.ts')).complete,
  },
  search: {
    summary: 'the adapters that a prompt would get, with scores',
    load: async () => (await import('./cli/search.ts')).search,
  },
  check: {
    summary: 'open every part and print what was found',
    load: async () => (await import('./cli/check.ts')).check,
  },
  evaluate: {
    summary: 'accuracy of retrieval, and of answers, on labelled JSON lines',
    load: async () => (await import('./cli/evaluate.ts')).evaluate,
  },
  bench: {
    summary: 'throughput, latency and memory of the parts and of the whole',
    load: async () => (await import('./cli/bench.ts')).bench,
  },
}

await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<void> {
  const terminal = openTerminal()
  let status = 2
  try {
    const [first] = args
    if (first === undefined) {
      terminal.note(helpOf('', commands))
      process.exitCode = 2
      return
    }
    if (first === '--version' || first === '-v') return await terminal.print(version)
    const asked = first === 'help' || asksForHelp(args)
    const found = await find(
      args.filter(arg => !asked || !['help', '--help', '-h'].includes(arg)),
      asked,
    )
    if (typeof found === 'string') return await terminal.print(found)
    if (asked) return await terminal.print(found.command.help)
    const work = found.command.prepare(found.args)
    status = 1
    await work(terminal)
  } catch (error) {
    // Somebody asked it to stop; the exit status says so.
    if (error instanceof Error && error.name === 'AbortError' && process.exitCode !== undefined) return
    terminal.note(explain(error))
    process.exitCode = status
  }
}

/** The command that the arguments name and what is left of them; where help is asked for a group, its help. */
async function find(
  args: readonly string[],
  help: boolean,
): Promise<string | { readonly command: Command; readonly args: readonly string[] }> {
  let known = commands
  let otherwise: Group['otherwise']
  for (let depth = 0; ; depth++) {
    const path = args.slice(0, depth).join(' ')
    const name = args[depth]
    if (otherwise !== undefined && (name === undefined || name.startsWith('-')))
      return { command: await otherwise(), args: args.slice(depth) }
    if (help && (name === undefined || name.startsWith('-'))) return helpOf(path, known)
    if (name === undefined)
      throw new ConfigError(`"${path}" is missing what to do, expected ${alternatives(Object.keys(known))}`)
    const entry = Object.hasOwn(known, name) ? known[name] : undefined
    if (entry === undefined) {
      const names = Object.keys(known)
      const shown = [path, name.slice(0, 60)].join(' ').trim()
      throw new ConfigError(`"${shown}" is not a command, expected ${alternatives(names)}${hint(name, names, '')}`)
    }
    const loaded = await entry.load()
    if ('help' in loaded) return { command: loaded, args: args.slice(depth + 1) }
    known = loaded.commands
    otherwise = loaded.otherwise
  }
}

function helpOf(path: string, known: Commands): string {
  const width = Math.max(...Object.keys(known).map(name => name.length)) + 2
  const lines = Object.entries(known).map(([name, { summary }]) => `  ${name.padEnd(width)}${summary}`)
  const title =
    path === ''
      ? `lorastream ${version}: finds LoRA adapters for every prompt and mixes them, row by row, in one forward pass\n\n`
      : ''
  return `${title}Usage: lorastream ${path === '' ? '' : `${path} `}COMMAND [options]

${lines.join('\n')}

Every command has --help. Exit status: 0 done, 1 an error (CODE: message on stderr), 2 wrong usage.`
}

/** `--help` before a `--`, where it can only be the option. */
function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  return args.slice(0, end === -1 ? args.length : end).some(arg => arg === '--help' || arg === '-h')
}

/** One line for what was foreseen; the stack for what was not, because that is a defect of ours. */
function explain(error: unknown): string {
  if (error instanceof LorastreamError) return `${error.code}: ${oneLine(error.message)}`
  if (error instanceof Error && 'syscall' in error) return `STAGE_FAILED: ${oneLine(error.message)}`
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** A stranger's text may carry line ends and escape sequences. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
}
