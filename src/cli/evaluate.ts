import type { Group } from './command.ts'

/** `lorastream evaluate WHAT`: accuracy on labelled JSON lines; each kind is a command of its own, in `evaluate/`. */
export const evaluate: Group = {
  commands: {
    retrieval: {
      summary: 'how often the right adapter is found',
      load: async () => (await import('./evaluate/retrieval.ts')).retrieval,
    },
    generation: {
      summary: 'how good the answers are, against those of the right adapter alone',
      load: async () => (await import('./evaluate/generation.ts')).generation,
    },
  },
}
