import { avro, defineConfig, env, kafka, registry } from 'lorastream'
import { adapter, echoEngine, fixedPool } from '../support/fakes.ts'

/** A deployment on a real broker, with an engine without a model: it is the delivery that is tested. */
export default defineConfig({
  transport: () =>
    kafka({
      brokers: env('KAFKA_BROKERS').split(','),
      group: env('KAFKA_GROUP'),
      codec: process.env['SCHEMA_REGISTRY_URL'] === undefined ? avro() : registry({ url: env('SCHEMA_REGISTRY_URL') }),
      deadLetters: 'prompts.dead',
      sessionTimeoutMs: 6000,
    }),
  pool: () => fixedPool(['a', 'b', 'c', 'd'].map(id => adapter(id))),
  engine: () => echoEngine(),
})
