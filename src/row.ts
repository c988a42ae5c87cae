import type { Message, Origin, Prompt } from './events.ts'
import type { Row } from './ports.ts'

/** New tokens when a prompt does not say. */
export const defaultMaxTokens = 128

/**
 * A prompt as the engine takes it, defaults filled in: 128 new tokens, greedy, neither top-p nor top-k. A sampled prompt
 * without a seed gets one from its origin, so that equal prompts differ and a repeated one does not.
 */
export function toRow({ value, origin }: Message<Prompt>): Row {
  const temperature = value.temperature ?? 0
  return {
    prompt: value.tokens === undefined ? textOf(value) : { tokens: value.tokens },
    maxTokens: value.maxTokens ?? defaultMaxTokens,
    temperature,
    topP: value.topP ?? 1,
    topK: value.topK ?? 0,
    seed: value.seed ?? (temperature === 0 ? 0 : hash(originId(origin))),
    stop: value.stop ?? [],
    ignoreEos: value.ignoreEos ?? false,
  }
}

/** Tokens that are answered greedily, up to the last of `maxTokens` new ones. */
export function greedyRow(tokens: readonly number[], maxTokens: number): Row {
  return { prompt: { tokens }, maxTokens, temperature: 0, topP: 1, topK: 0, seed: 0, stop: [], ignoreEos: true }
}

/** `topic-partition-offset`: the same whenever the event is read again. */
export function originId({ topic, partition, offset }: Origin): string {
  return `${topic}-${partition}-${offset}`
}

function textOf({ text, system }: Prompt): { readonly text: string; readonly system?: string } {
  return system === undefined ? { text } : { text, system }
}

/** FNV-1a, 31 bits. */
function hash(id: string): number {
  let state = 0x811c9dc5
  for (const byte of Buffer.from(id)) state = Math.imul(state ^ byte, 0x01000193)
  return state >>> 1
}
