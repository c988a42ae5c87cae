import { TransportError } from '../errors.ts'
import { run as runTopology } from '../topology.ts'
import { readArguments } from './arguments.ts'
import type { Command } from './command.ts'
import { environmentHelp, kafkaFromEnvironment } from './kafka-environment.ts'
import { loadTopology } from './load-module.ts'
import { partHelp, partOptions, readParts } from './options.ts'
import { chooseParts } from './parts.ts'
import { openAll } from './resources.ts'

/** Half of what Kubernetes waits before it kills, by default. */
const DRAIN_SECONDS = 15
/** Nobody waits a day for a service to stop. */
const MAX_DRAIN_SECONDS = 86_400

export const run: Command = {
  help: `Usage: lorastream run TOPOLOGY [options]

The main job: consumes prompts from Kafka, answers them, publishes the completions, until it is
stopped. Prints a receipt for every window as a line of JSON. The first SIGTERM or SIGINT ends the
reading; what was read is answered and published, then it exits 0. The second ends it at once.

  KAFKA_BROKERS=localhost:9092 SCHEMA_REGISTRY_URL=http://localhost:8081 \\
    lorastream run topologies/mixture.ts

TOPOLOGY is a file (.ts or .js) whose default export is a topology.

Options:
  --drain-seconds N    how long what was read may take after a signal (default: ${DRAIN_SECONDS}); then exit 1

What answers the prompts (a config opens the transport, too):
${partHelp}

Environment, where there is no config:
${environmentHelp}`,

  prepare(args) {
    const given = readArguments('run', args, {
      text: [...partOptions, 'drain-seconds'],
      flags: [],
      positionals: ['TOPOLOGY'],
    })
    const [path = ''] = given.positionals
    const choice = readParts(given)
    const seconds = given.integer('drain-seconds', 0, MAX_DRAIN_SECONDS) ?? DRAIN_SECONDS

    return async terminal => {
      const signal = terminal.stopping()
      const topology = await loadTopology(path)
      const { config, open } = await chooseParts(choice, terminal)
      const transport = config === undefined ? kafkaFromEnvironment() : await config.transport()
      const resources = await openAll(transport, open, terminal)
      terminal.note(`answering with ${resources.engine.facts.base.id}, ${resources.engine.facts.precision}`)
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => {
          terminal.note(`stopping: what was read is answered first, for ${seconds} s at most`)
          const error = new TransportError(`what was read is not answered within ${seconds} s; it will be read again`)
          timer = setTimeout(() => reject(error), seconds * 1000)
        })
      })
      try {
        await Promise.race([
          late,
          runTopology(topology, resources, {
            signal,
            onReceipt: receipt => void terminal.print(JSON.stringify(receipt)),
          }),
        ])
      } catch (error) {
        // What is left may never end.
        if (timer !== undefined) setTimeout(() => process.exit(1), 100)
        throw error
      }
      clearTimeout(timer)
      // It was asked to stop, and did.
      process.exitCode = 0
    }
  },
}
