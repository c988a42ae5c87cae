#!/usr/bin/env node
import { alternatives, hint } from './cli/arguments.ts'
import type { Command } from './cli/command.ts'
import { terminal as openTerminal } from './cli/terminal.ts'
import { ConfigError, LorastreamError } from './errors.ts'
import { version } from './version.ts'

/** Loaded on use: `--help` and a wrong option must not wait for native modules. */
const commands: Readonly<Record<string, { readonly summary: string; readonly load: () => Promise<Command> }>> = {
  models: {
    summary: 'models pull: fetch the demo base model and encoder',
    load: async () => (await import('./cli/models.ts')).models,
  },
}

const help = `lorastream ${version}: finds the right LoRA adapters for every prompt and mixes them, row by row, in one forward pass

Usage: lorastream COMMAND [options]

${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`)
  .join('\n')}

  lorastream COMMAND --help says more. Exit status: 0 done, 1 an error (CODE: message on stderr), 2 wrong usage.`

await main(process.argv.slice(2))

async function main([name, ...args]: readonly string[]): Promise<void> {
  const terminal = openTerminal()
  let status = 2
  try {
    if (name === undefined) {
      terminal.note(help)
      process.exitCode = 2
      return
    }
    if (['help', '--help', '-h'].includes(name) && args.length === 0) return await terminal.print(help)
    if (['--version', '-v'].includes(name)) return await terminal.print(version)
    const command = await find(name === 'help' ? args[0] : name)
    if (name === 'help' || asksForHelp(args)) return await terminal.print(command.help)
    const work = command.prepare(args)
    status = 1
    await work(terminal)
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError' && process.exitCode !== undefined) return
    terminal.note(explain(error))
    process.exitCode = status
  }
}

async function find(name = ''): Promise<Command> {
  const found = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (found !== undefined) return await found.load()
  const names = Object.keys(commands)
  throw new ConfigError(
    `"${name.slice(0, 60)}" is not a command, expected ${alternatives(names)}${hint(name, names, '')}`,
  )
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
