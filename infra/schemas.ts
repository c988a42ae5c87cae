import { setTimeout } from 'node:timers/promises'
import { env, TransportError } from 'lorastream'
import { registerSchemas } from './set-up.ts'

// Registers schemas/*.avsc, for deployments whose instances may only look them up (SCHEMA_REGISTRY_AUTO_REGISTER=false).

/** A registry that is started at the same time needs as long. */
const TRIES = 60

const url = env('SCHEMA_REGISTRY_URL')
for (const [subject, answer] of await patiently(TRIES)) process.stdout.write(`${subject}: ${answer}\n`)

/** What the registry answers is final; as long as it does not answer at all, it is asked again. */
async function patiently(tries: number): Promise<ReadonlyMap<string, string>> {
  try {
    return await registerSchemas(url)
  } catch (error) {
    if (!(error instanceof TransportError) || tries <= 1) throw error
    process.stderr.write(`${error.message}; asking again\n`)
    await setTimeout(1000)
    return await patiently(tries - 1)
  }
}
