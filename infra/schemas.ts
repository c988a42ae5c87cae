import { readFileSync } from 'node:fs'
import { env } from 'lorastream'

// Registers schemas/*.avsc, for deployments whose instances may only look them up (`autoRegister: false`).
const url = env('SCHEMA_REGISTRY_URL')
for (const [subject, name] of [
  ['prompts-value', 'prompt'],
  ['completions-value', 'completion'],
] as const) {
  const schema = JSON.stringify(JSON.parse(readFileSync(new URL(`../schemas/${name}.avsc`, import.meta.url), 'utf8')))
  const response = await fetch(`${url}/subjects/${subject}/versions`, {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify({ schema, schemaType: 'AVRO' }),
  })
  const answer = await response.text()
  if (!response.ok) throw new Error(`${subject}: the registry answers ${response.status}: ${answer}`)
  process.stdout.write(`${subject}: ${answer}\n`)
}
