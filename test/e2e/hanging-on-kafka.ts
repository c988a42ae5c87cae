import { avro, defineConfig, env, kafka, type Engine } from 'lorastream'
import { adapter, echoEngine, fixedPool } from '../support/fakes.ts'

const echo = echoEngine()

/** Never answers a batch with a prompt that says so, as a driver that hangs would. */
const engine: Engine = {
  ...echo,
  run: async batch =>
    batch.rows.some(({ prompt }) => 'text' in prompt && prompt.text.includes('hang'))
      ? await new Promise<never>(() => {})
      : await echo.run(batch),
}

/** A deployment on a real broker that answers, until it is asked to hang. */
export default defineConfig({
  transport: () =>
    kafka({
      brokers: env('KAFKA_BROKERS').split(','),
      group: env('KAFKA_GROUP'),
      codec: avro(),
      deadLetters: 'prompts.dead',
      // Longer than any test waits: who takes over sooner was let in.
      sessionTimeoutMs: 120_000,
    }),
  pool: () => fixedPool(['a', 'b'].map(id => adapter(id))),
  engine: () => engine,
})
