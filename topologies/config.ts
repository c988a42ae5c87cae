import { defineConfig, env, kafka, onnxEncoder, onnxEngine, openPool, peftDirectory, registry } from 'lorastream'

/** A deployment on Kafka; `lorastream run topologies/mixture.ts --config topologies/config.ts` runs a topology on it. */
export default defineConfig({
  transport: () =>
    kafka({
      brokers: env('KAFKA_BROKERS').split(','),
      group: env('KAFKA_GROUP', 'lorastream'),
      codec: registry({ url: env('SCHEMA_REGISTRY_URL') }),
      deadLetters: 'prompts.dead',
    }),
  pool: () =>
    openPool({
      source: peftDirectory(env('ADAPTERS', 'adapters')),
      encoder: onnxEncoder(env('ENCODER', 'models/all-minilm-l6-v2')),
    }),
  engine: () => onnxEngine(env('MODEL', 'models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf')),
})
