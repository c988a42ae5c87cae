import { avro } from '../codec/avro.ts'
import type { EngineFacts, Prompt } from '../events.ts'
import { schemas } from '../schemas.ts'
import { run } from '../topology.ts'
import { memory } from '../transport/memory.ts'
import { readArguments } from './arguments.ts'
import type { Command } from './command.ts'
import { commandName } from './command-name.ts'
import { demoPrompts } from './demo-prompts.ts'
import { nextSteps, summary, windowReport } from './demo-report.ts'
import { followWindows } from './demo-windows.ts'
import { shippedTopology } from './load-module.ts'
import { pullAll } from './models.ts'
import { partHelp, partOptions, readK, readParts, strategyNames } from './options.ts'
import { chooseParts, missingModels, shippedAdapters } from './parts.ts'
import { openAll } from './resources.ts'
import type { Terminal } from './terminal.ts'

const deadLetters = 'prompts.dead'

export const demo: Command = {
  help: `Usage: lorastream demo [--json] [--strategy NAME] [--k N] [options]

Real prompts through topologies/mixture.ts on the in-memory transport: a real base model, a real
encoder, real adapters, Avro bytes in and out. Shows each answer with the adapters that gave it, and
ends with a summary. Fetches the demo's models first when they are missing ("models pull").

Options:
  --json               print completions as JSON lines, and nothing else
  --strategy NAME      base, selection, mixture or fusion, instead of the topology's
  --k N                adapters for each prompt, instead of the topology's 3
${partHelp.replace('(default: adapters)', "(default: the demo's)")}`,

  prepare(args) {
    const given = readArguments('demo', args, { text: ['strategy', 'k', ...partOptions], flags: ['json'] })
    const choice = readParts(given)
    const strategy = given.oneOf('strategy', strategyNames)
    const k = readK(given)
    const override: Partial<Prompt> = {
      ...(strategy === undefined ? {} : { strategy }),
      ...(k === undefined ? {} : { k }),
    }
    const json = given.flag('json')

    return async terminal => {
      if ((await missingModels(choice)).length > 0) await pullAll(terminal, 'models')
      const signal = terminal.stopping()
      const { open } = await chooseParts({ adapters: shippedAdapters, ...choice }, terminal)
      const topology = await shippedTopology('mixture')
      const prompts = (await demoPrompts()).map(prompt => ({ ...prompt, ...override }))
      const byId = new Map(prompts.map(prompt => [prompt.id ?? '', prompt]))

      const transport = memory({ codec: avro(), deadLetters })
      await transport.produce('prompts', schemas.prompt, prompts)
      transport.topics.end('prompts')

      const resources = await openAll(transport, open, terminal)
      if (!json) await terminal.print(opening(resources.engine.facts, prompts.length, terminal))
      const windows = followWindows(transport, prompts, deadLetters, async settlement => {
        if (!json) return await terminal.print(`\n${windowReport(settlement, byId, terminal)}`)
        for (const completion of settlement.completions) await terminal.print(JSON.stringify(completion))
        for (const { prompt, code, reason } of settlement.dead) terminal.note(`${code}: ${prompt?.id}: ${reason}`)
      })
      const started = performance.now()
      await run(topology, resources, { signal, onReceipt: receipt => windows.next(receipt) })
      const seconds = (performance.now() - started) / 1000
      const settlements = await windows.done()
      if (json) return
      await terminal.print(`\n${summary(settlements, seconds, terminal)}`)
      await terminal.print(`\n${nextSteps(commandName, terminal)}`)
    }
  },
}

/** What the demo runs on, before the first answer. */
function opening({ base, device, precision }: EngineFacts, prompts: number, { paint }: Terminal): string {
  return `${paint.bold(`${prompts} prompts through topologies/mixture.ts`)}: each with its own mix of adapters, a window in one pass
base model ${base.id}, ${precision} on ${device}; shown are adapters, weight (similarity)`
}
