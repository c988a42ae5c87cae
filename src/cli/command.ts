import type { Terminal } from './terminal.ts'

/** A command of the CLI. Modules of commands hold parsing and printing; the work is elsewhere. */
export type Command = {
  /** What `--help` prints. */
  readonly help: string
  /**
   * Reads the arguments and opens nothing. Throws ConfigError for wrong usage (exit 2); what the returned function throws is
   * a failure of the work (exit 1).
   */
  prepare(args: readonly string[]): (terminal: Terminal) => Promise<void>
}
