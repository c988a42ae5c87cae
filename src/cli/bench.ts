import type { Group } from './command.ts'

/** `lorastream bench CASE`: each case is a command of its own, `src/cli/bench-CASE.ts`. */
export const bench: Group = {
  commands: {},
}
