import { env } from 'lorastream'
import { registerSchemas } from './set-up.ts'

// Registers schemas/*.avsc, for deployments whose instances may only look them up (`autoRegister: false`).
for (const [subject, answer] of await registerSchemas(env('SCHEMA_REGISTRY_URL')))
  process.stdout.write(`${subject}: ${answer}\n`)
