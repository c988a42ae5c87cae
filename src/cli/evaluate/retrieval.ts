import { ConfigError } from '../../errors.ts'
import type { Command } from '../command.ts'

export const retrieval: Command = {
  help: `Usage: lorastream evaluate retrieval --data FILE [options]`,
  prepare() {
    throw new ConfigError('"evaluate retrieval" is not there yet')
  },
}
