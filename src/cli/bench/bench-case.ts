import { mkdtemp, rm } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError } from '../../errors.ts'
import { readArguments, type Given } from '../arguments.ts'
import type { Command } from '../command.ts'
import { partHelp, partOptions, readParts, type PartChoice } from '../options.ts'
import { chooseParts, defaultPaths, shippedAdapters, type Paths } from '../parts.ts'
import type { Terminal } from '../terminal.ts'
import { machineLine, toJson, toLines, type Result } from './result.ts'

/** What a case measures with. */
export type Bench = {
  readonly choice: PartChoice
  readonly paths: Paths
  readonly terminal: Terminal
  /** Aborted when somebody asks it to stop. */
  readonly signal: AbortSignal
  /** Empty, this case's alone, and gone afterwards. */
  readonly folder: string
  report(result: Result): Promise<void>
}

export type BenchCase<Option extends string> = {
  readonly name: string
  /** What it measures and how, lines of at most 100 columns. */
  readonly about: string
  /** What each of its own options takes, and what it says, default included. */
  readonly options: Readonly<Record<Option, readonly [value: string, says: string]>>
  /** Whether it opens the base model alone, the encoder and the adapters too, or none of them. */
  readonly opens: 'model' | 'all' | 'nothing'
  /** Reads its options. Throws ConfigError for wrong ones. */
  prepare(given: Given<Option, never>): (bench: Bench) => Promise<void>
}

/** The parts' options without `--config`: a case opens parts with caches, precisions and adapters of its own. */
export const benchPartHelp = partHelp
  .split('\n')
  .filter(line => !line.includes('--config'))
  .join('\n')
  .replace('(default: adapters)', "(default: the demo's)")

/** A case as a command: its options, those of the parts, and `--json`. */
export function benchCommand<Option extends string>(benchCase: BenchCase<Option>): Command {
  const { name, about, options, opens } = benchCase
  const own = Object.entries<readonly [string, string]>(options).map(
    ([option, [value, says]]) => `  ${`--${option} ${value}`.padEnd(19)}  ${says}`,
  )
  return {
    help: `Usage: lorastream bench ${name} [--json] [options]

${about}

Options:
${own.join('\n')}
  --json               one JSON object a line: case, parameters, figures and the machine${opens === 'nothing' ? '' : `\n${benchPartHelp}`}`,

    prepare(args) {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of a record are what its type says
      const names = Object.keys(options) as Option[]
      const given = readArguments(`bench ${name}`, args, { text: [...names, ...partOptions], flags: ['json'] })
      const work = benchCase.prepare(given)
      const choice = benchParts(given)

      return async terminal => {
        const signal = terminal.stopping()
        const [load = 0] = loadavg()
        const paths = await pathsOf(opens, choice, terminal)
        const folder = await mkdtemp(join(tmpdir(), `lorastream-bench-${name}-`))
        let first = true
        try {
          await work({
            choice,
            paths,
            terminal,
            signal,
            folder,
            async report(result) {
              terminal.progress('')
              if (given.flag('json')) return await terminal.print(toJson(result, load))
              for (const line of [...(first ? [machineLine(result, load)] : []), ...toLines(result, terminal)])
                await terminal.print(line)
              first = false
            },
          })
        } finally {
          terminal.progress('')
          await rm(folder, { recursive: true, force: true })
        }
      }
    },
  }
}

/** Throws ConfigError for a part that is to be opened and is not there. */
async function pathsOf(
  opens: BenchCase<never>['opens'],
  choice: PartChoice,
  terminal: Pick<Terminal, 'progress'>,
): Promise<Paths> {
  if (opens === 'nothing') return defaultPaths(choice)
  const encoder = opens === 'model' ? { encoder: '' } : {}
  const { paths } = await chooseParts({ adapters: shippedAdapters, ...encoder, ...choice }, terminal)
  if (paths === undefined) throw new Error('a bench has no config')
  return paths
}

/** The parts' options. Throws ConfigError for `--config`. */
export function benchParts(given: Given<(typeof partOptions)[number], never>): PartChoice {
  if (given.text('config') !== undefined)
    throw new ConfigError('--config: a bench opens the parts itself, expected --model, --encoder and --adapters')
  return readParts(given)
}
