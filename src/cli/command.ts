import type { Terminal } from './terminal.ts'

/** What a command does once its arguments are understood. */
export type Work = (terminal: Terminal) => Promise<void>

/** A command of the CLI. Its module holds parsing and printing; the work is elsewhere. */
export type Command = {
  /** What `--help` prints. */
  readonly help: string
  /**
   * Reads the arguments and opens nothing. Throws ConfigError for wrong usage (exit 2); what the returned function throws is
   * a failure of the work (exit 1).
   */
  prepare(args: readonly string[]): Work
}

/** Commands under one name, as in `models pull`, and what the name does by itself, if anything. */
export type Group = { readonly commands: Commands; readonly otherwise?: () => Promise<Command> }

export type Commands = Readonly<Record<string, Entry>>

/** Loaded on use: `--help` and a wrong option must not wait for native modules. */
export type Entry = { readonly summary: string; readonly load: () => Promise<Command | Group> }
