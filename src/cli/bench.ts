import type { Group } from './command.ts'

/** `lorastream bench CASE`: each case is a command of its own, in `bench/`; without one, all of them. */
export const bench: Group = {
  commands: {
    window: {
      summary: 'a window of prompts, each with its own mix of adapters, against the bare base',
      load: async () => (await import('./bench/window.ts')).window,
    },
    stages: {
      summary: 'what a window takes besides the model, through the whole topology',
      load: async () => (await import('./bench/stages.ts')).stages,
    },
    pool: {
      summary: 'few adapters in the pool against many',
      load: async () => (await import('./bench/pool.ts')).pool,
    },
    retrieval: {
      summary: 'finding adapters in a large pool, hnsw against exact search',
      load: async () => (await import('./bench/retrieval.ts')).retrieval,
    },
    memory: {
      summary: 'resident memory after ten windows, and whether it stays flat',
      load: async () => (await import('./bench/memory.ts')).memory,
    },
    transport: {
      summary: 'the Kafka transport against a bare kafkajs loop',
      load: async () => (await import('./bench/transport.ts')).transport,
    },
    'transport-model': {
      summary: "what Kafka takes of a service's time with the real model",
      load: async () => (await import('./bench/transport-model.ts')).transportModel,
    },
    'transport-memory': {
      summary: 'whether memory stays flat over 200,000 prompts on Kafka',
      load: async () => (await import('./bench/transport-memory.ts')).transportMemory,
    },
    load: {
      summary: 'time to open the parts, and from start to first answer',
      load: async () => (await import('./bench/load.ts')).load,
    },
    quality: {
      summary: 'perplexity of a precision against float32',
      load: async () => (await import('./bench/quality.ts')).quality,
    },
  },
  otherwise: async () => (await import('./bench/all.ts')).all,
}
