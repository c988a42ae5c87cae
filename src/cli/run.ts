import { ConfigError } from '../errors.ts'
import { readArguments } from './arguments.ts'
import type { Command } from './command.ts'
import { codecNames, environmentHelp } from './kafka-environment.ts'
import { partHelp, partOptions, readParts } from './options.ts'
import { serve } from './serve.ts'

/** Half of what Kubernetes waits before it kills, by default. */
const DRAIN_SECONDS = 15
/** Nobody waits a day for a service to stop. */
const MAX_DRAIN_SECONDS = 86_400
/** As long as Kafka's own consumers may take between two polls (`max.poll.interval.ms`). */
const WATCHDOG_SECONDS = 300
const MAX_WATCHDOG_SECONDS = 86_400
const MAX_PORT = 65_535

export const run: Command = {
  help: `Usage: lorastream run TOPOLOGY [options]

The main job: consumes prompts from Kafka, answers them, publishes the completions, until it is
stopped. Prints a receipt for every window as a line of JSON. The first SIGTERM or SIGINT ends the
reading; what was read is answered and published, then it exits 0. The second ends it at once.

  KAFKA_BROKERS=localhost:9092 SCHEMA_REGISTRY_URL=http://localhost:8081 \\
    lorastream run topologies/mixture.ts

TOPOLOGY is a file (.ts or .js) whose default export is a topology.

Options:
  --codec NAME         registry: Avro in the Confluent wire format; avro or json: without a registry
                       (default: registry)
  --drain-seconds N    how long what was read may take after a signal (default: ${DRAIN_SECONDS}); then exit 1
  --health-port N      answers GET /livez and /readyz there; 0: a free port, which is printed
  --health-host HOST   the interface for that (default: all)
  --watchdog-seconds N without progress though there is work, it says so, and /livez fails
                       (default: ${WATCHDOG_SECONDS}; 0: never)
  --watchdog-exit      then exit 1, for whoever starts it again

What answers the prompts (a config opens the transport, too):
${partHelp}

Environment, where there is no config:
${environmentHelp}`,

  prepare(args) {
    const given = readArguments('run', args, {
      text: [...partOptions, 'codec', 'drain-seconds', 'health-port', 'health-host', 'watchdog-seconds'],
      flags: ['watchdog-exit'],
      positionals: ['TOPOLOGY'],
    })
    const [path = ''] = given.positionals
    const choice = readParts(given)
    const codec = given.oneOf('codec', codecNames)
    if (codec !== undefined && choice.config !== undefined)
      throw new ConfigError('--codec and --config exclude each other: the config opens the parts, and says how')
    const port = given.integer('health-port', 0, MAX_PORT)
    const host = given.text('health-host')
    if (host !== undefined && port === undefined) throw new ConfigError('--health-host needs --health-port')
    const drainSeconds = given.integer('drain-seconds', 0, MAX_DRAIN_SECONDS) ?? DRAIN_SECONDS
    const watchdogSeconds = given.integer('watchdog-seconds', 0, MAX_WATCHDOG_SECONDS) ?? WATCHDOG_SECONDS
    const watchdogExit = given.flag('watchdog-exit')
    return async terminal => {
      const options = { choice, codec: codec ?? 'registry', drainSeconds, watchdogSeconds, watchdogExit }
      await serve(
        path,
        { ...options, ...(port !== undefined && { health: { port, ...(host !== undefined && { host }) } }) },
        terminal,
      )
    }
  },
}
