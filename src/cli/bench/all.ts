import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readArguments } from '../arguments.ts'
import { bench } from '../bench.ts'
import type { Command } from '../command.ts'
import { partOptions } from '../options.ts'
import { benchPartHelp, benchParts } from './bench-case.ts'

const cases = Object.entries(bench.commands)
const width = Math.max(...cases.map(([name]) => name.length)) + 2

/** Every case, each in a process of its own, so that none starts with another's memory. */
export const all: Command = {
  help: `Usage: lorastream bench [CASE] [--json] [options]

Measures on this machine, with the demo's models or yours. Without a case all run, one after the
other, each in a process of its own; on two cores that takes some twenty minutes. Those on Kafka are
left out where KAFKA_BROKERS is not set.

${cases.map(([name, { summary }]) => `  ${name.padEnd(width)}${summary}`).join('\n')}

Each case has --help and options of its own.

Options:
  --json               one JSON object a line: case, parameters, figures and the machine
${benchPartHelp}`,

  prepare(args) {
    benchParts(readArguments('bench', args, { text: partOptions, flags: ['json'] }))

    return async terminal => {
      const signal = terminal.stopping()
      const [, script = ''] = process.argv
      for (const [name] of cases) {
        if (name.startsWith('transport') && (process.env['KAFKA_BROKERS'] ?? '') === '') {
          terminal.note(`${name} is left out: KAFKA_BROKERS is not set`)
          continue
        }
        const command = [...process.execArgv, script, 'bench', name, ...args]
        const child = spawn(process.execPath, command, { stdio: 'inherit' })
        await once(child, 'close')
        signal.throwIfAborted()
        // It has said why; the others do not depend on it.
        if (child.exitCode !== 0) process.exitCode = child.exitCode ?? 1
      }
    }
  },
}
