import { setTimeout } from 'node:timers/promises'
import {
  defineConfig,
  env,
  kafka,
  onnxEncoder,
  onnxEngine,
  openPool,
  peftDirectory,
  registry,
  vectorCache,
  type Engine,
} from 'lorastream'
import { adapter, echoEngine, fixedPool } from '../support/fakes.ts'

const real = env('TRIAL_ENGINE', 'echo') === 'real'

/** An instance in a trial: everything real but the model, and that too when it is asked for. */
export default defineConfig({
  transport: () =>
    kafka({
      brokers: env('KAFKA_BROKERS').split(','),
      group: env('TRIAL'),
      codec: registry({ url: env('SCHEMA_REGISTRY_URL') }),
      deadLetters: `${env('TRIAL')}.dead`,
      delivery: env('TRIAL_DELIVERY', 'exactly-once') === 'at-least-once' ? 'at-least-once' : 'exactly-once',
      sessionTimeoutMs: Number(env('TRIAL_SESSION_MS', '2000')),
      maxInFlight: 128,
    }),
  pool: () =>
    real
      ? openPool({
          source: peftDirectory('adapters'),
          encoder: onnxEncoder('models/all-minilm-l6-v2'),
          cache: vectorCache('.cache/lorastream/vectors'),
        })
      : fixedPool(['a', 'b', 'c'].map(id => adapter(id))),
  engine: () =>
    real ? onnxEngine('models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf', { threads: 1 }) : slowEcho(),
})

/** Takes its time, as a model does, so that faults meet windows in flight. */
function slowEcho(): Engine {
  const echo = echoEngine()
  return {
    ...echo,
    async run(batch) {
      await setTimeout(Number(env('TRIAL_ENGINE_MS', '30')))
      return await echo.run(batch)
    },
  }
}
