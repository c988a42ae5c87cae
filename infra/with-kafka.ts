import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { findServices } from './services.ts'

// Runs a command of lorastream with a broker and a registry in its environment, and ends what it started:
//   npm run with-kafka -- bench transport
const services = await findServices()
if ('missing' in services) {
  process.stderr.write(`nothing to run with: ${services.missing}\n`)
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
    env: { ...process.env, KAFKA_BROKERS: services.brokers.join(','), SCHEMA_REGISTRY_URL: services.registry },
  },
)
await once(command, 'close')
await services.stop()
process.exitCode = command.exitCode ?? 1
