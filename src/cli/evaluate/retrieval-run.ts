import type { Encoder, Sample, Scorer } from '../../ports.ts'
import { vectorsOf } from '../../retrieve/sample-vectors.ts'
import type { VectorCache } from '../../retrieve/vector-cache.ts'
import type { LabelledPrompt, SampleSet } from './retrieval-files.ts'
import { depths, type Ranked } from './retrieval-report.ts'

/** Texts that are encoded and cached together. */
const CHUNK = 32

export type Encoding = {
  readonly encoder: Encoder
  readonly prefix: string
  readonly cache: VectorCache
  /** Told after each step, with texts done. */
  readonly progress: (done: number) => void
  /** Told once why vectors could not be kept, when they could not. */
  readonly note: (message: string) => void
  readonly signal: AbortSignal
}

/**
 * Texts with their vectors, which are taken from the cache where it has them.
 * @throws ModelError for an encoder that gives too few vectors, or broken ones; the signal's reason.
 */
export async function encodeAll(texts: readonly string[], how: Encoding): Promise<readonly Sample[]> {
  const { progress, note, signal } = how
  const found: Sample[] = []
  let isTold = false
  for (let start = 0; start < texts.length; start += CHUNK) {
    signal.throwIfAborted()
    const { samples, error } = await vectorsOf(texts.slice(start, start + CHUNK), how)
    if (error !== undefined && !isTold) note(`vectors cannot be kept: ${error}`)
    isTold ||= error !== undefined
    found.push(...samples)
    progress(found.length)
  }
  return found
}

/** The samples of every adapter, with vectors. */
export async function encodeSamples(
  samples: SampleSet,
  how: Encoding,
): Promise<ReadonlyMap<string, readonly Sample[]>> {
  const encoded = await encodeAll([...samples.values()].flat(), how)
  let start = 0
  return new Map(
    [...samples].map(([id, texts]) => {
      const own = encoded.slice(start, start + texts.length)
      start += texts.length
      return [id, own]
    }),
  )
}

/** What the scorer finds, and the time that it took: to take the samples and fit, and for each prompt, in ms. */
export function rank(
  scorer: Scorer,
  samples: ReadonlyMap<string, readonly Sample[]>,
  prompts: readonly LabelledPrompt[],
  encoded: readonly Sample[],
): { readonly ranked: readonly Ranked[]; readonly fitMs: number; readonly searchMs: number } {
  const k = Math.max(...depths)
  const start = performance.now()
  for (const [id, own] of samples) scorer.add(id, own)
  const questions = prompts.flatMap((prompt, at) => {
    const query = encoded[at]
    return query === undefined ? [] : [{ ...query, prompt, k, skip: new Set(prompt.exclude) }]
  })
  // A scorer fits at the first question.
  scorer.search(questions.slice(0, 1))
  const fitted = performance.now()
  const found = scorer.search(questions)
  const searched = performance.now() - fitted
  const ranked = questions.map(({ prompt }, at) => ({ prompt, found: (found[at] ?? []).map(({ key }) => key) }))
  return { ranked, fitMs: fitted - start, searchMs: prompts.length === 0 ? 0 : searched / prompts.length }
}
