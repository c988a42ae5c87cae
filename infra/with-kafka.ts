import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { findBroker } from './kafka.ts'
import { findRegistry } from './registry.ts'

// Runs a command of lorastream with a broker and a registry in its environment, and ends what it started:
//   npm run with-kafka -- bench transport
const [broker, registry] = await Promise.all([findBroker(), findRegistry()])
if ('missing' in broker || 'missing' in registry) {
  const missing = [broker, registry].flatMap(one => ('missing' in one ? [one.missing] : []))
  process.stderr.write(`no Kafka to run with: ${missing.join('; ')}\n`)
  process.exit(1)
}
// A signal of the terminal's reaches the command by itself; others are handed on.
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.on(name, () => {
    if (!process.stdin.isTTY) command.kill(name)
  })
const command = spawn(
  process.execPath,
  ['--conditions=source', '--import', 'tsx', 'src/cli.ts', ...process.argv.slice(2)],
  {
    stdio: 'inherit',
    env: { ...process.env, KAFKA_BROKERS: broker.brokers.join(','), SCHEMA_REGISTRY_URL: registry.url },
  },
)
await once(command, 'close')
await Promise.all([broker.stop(), registry.stop()])
process.exitCode = command.exitCode ?? 1
