import type { EngineFacts, Prompt } from '../events.ts'
import { run } from '../topology.ts'
import { readArguments } from './arguments.ts'
import type { Command } from './command.ts'
import { commandName } from './command-name.ts'
import { memoryStage } from './demo-memory.ts'
import { demoPrompts } from './demo-prompts.ts'
import { nextSteps, summary, windowReport } from './demo-report.ts'
import type { Show, Stage } from './demo-stage.ts'
import { shippedTopology } from './load-module.ts'
import { pullAll } from './models.ts'
import { partHelp, partOptions, readK, readParts, strategyNames } from './options.ts'
import { chooseParts, missingModels, shippedAdapters } from './parts.ts'
import { openAll } from './resources.ts'
import type { Terminal } from './terminal.ts'

export const demo: Command = {
  help: `Usage: lorastream demo [--kafka] [--json] [--strategy NAME] [--k N] [options]

Real prompts through topologies/mixture.ts on the in-memory transport: a real base model, a real
encoder, real adapters, Avro bytes in and out. Shows each answer with the adapters that gave it, and
ends with a summary. Fetches the demo's models first when they are missing ("models pull").

With --kafka the same topology runs as in production: on a broker and a schema registry, exactly
once, with topics and schemas made and prompts produced for it. It takes those that KAFKA_BROKERS
and SCHEMA_REGISTRY_URL name, else starts them: in containers where an engine answers, or, in a
checkout, on the local JVM (Java 17 and Maven). All that was started or made is removed at the end.

Options:
  --kafka              on Kafka instead of the in-memory transport
  --json               print completions as JSON lines, and nothing else
  --strategy NAME      base, selection, mixture, fusion or adaptive, instead of the topology's
  --k N                adapters for each prompt, instead of the topology's 3
${partHelp.replace('(default: adapters)', "(default: the demo's)")}`,

  prepare(args) {
    const given = readArguments('demo', args, { text: ['strategy', 'k', ...partOptions], flags: ['json', 'kafka'] })
    const choice = readParts(given)
    const strategy = given.oneOf('strategy', strategyNames)
    const k = readK(given)
    const override: Partial<Prompt> = {
      ...(strategy === undefined ? {} : { strategy }),
      ...(k === undefined ? {} : { k }),
    }
    const json = given.flag('json')
    const kafka = given.flag('kafka')

    return async terminal => {
      if ((await missingModels(choice)).length > 0) await pullAll(terminal, 'models')
      const signal = terminal.stopping()
      const { open } = await chooseParts({ adapters: shippedAdapters, ...choice }, terminal)
      const topology = await shippedTopology('mixture')
      const prompts = (await demoPrompts()).map(prompt => ({ ...prompt, ...override }))
      const byId = new Map(prompts.map(prompt => [prompt.id ?? '', prompt]))

      const show: Show = async settlement => {
        if (!json) return await terminal.print(`\n${windowReport(settlement, byId, terminal)}`)
        for (const completion of settlement.completions) await terminal.print(JSON.stringify(completion))
        for (const { prompt, code, reason } of settlement.dead) terminal.note(`${code}: ${prompt?.id}: ${reason}`)
      }
      const stage = kafka
        ? await (await import('./demo-kafka.ts')).kafkaStage({ prompts, show }, terminal, signal)
        : await memoryStage({ prompts, show })
      try {
        await stage.guard(play(stage))
      } finally {
        await stage.close()
      }

      async function play({ transport, about, answered, ...windows }: Stage): Promise<void> {
        const resources = await openAll(transport, open, terminal)
        if (!json) await terminal.print(opening(resources.engine.facts, prompts.length, about, terminal))
        const started = performance.now()
        await run(topology, resources, { signal: answered ?? signal, onReceipt: receipt => windows.next(receipt) })
        const seconds = (performance.now() - started) / 1000
        const settlements = await windows.done()
        if (json) return
        await terminal.print(`\n${summary(settlements, seconds, terminal)}`)
        await terminal.print(`\n${nextSteps(commandName, terminal)}`)
      }
    }
  },
}

/** What the demo runs on, before the first answer. */
function opening(
  { base, device, precision }: EngineFacts,
  prompts: number,
  about: string | undefined,
  { paint }: Terminal,
): string {
  return `${paint.bold(`${prompts} prompts through topologies/mixture.ts`)}: each with its own mix of adapters, a window in one run
${about === undefined ? '' : `${about}\n`}base model ${base.id}, ${precision} on ${device}; shown are adapters, weight (score)`
}
