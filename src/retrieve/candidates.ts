import type { Question, Sample, VectorIndex } from '../ports.ts'
import { atPlace } from './ranking.ts'
import { RoundedIndex, type Near } from './rounded-index.ts'
import { unitMean } from './vectors.ts'

/** Up to so many adapters all are scored; more would take longer than to search the index first. */
const MAX_SCORED = 128

/** Adapters that the index is asked for, at least. */
const NEAR = 48

/**
 * The adapters that are worth a look for a prompt: all of a small pool, and of a large one those whose mean sample is
 * nearest by cosine, as the index finds them or else as rounded means tell. Means are as they are with the plain cosine, so that
 * nothing is rebuilt when a fit changes.
 */
export class Candidates {
  readonly #index: VectorIndex | undefined
  #rounded: RoundedIndex | undefined
  readonly #samples = new Map<string, readonly Sample[]>()

  constructor(index?: VectorIndex) {
    this.#index = index
  }

  get size(): number {
    return this.#samples.size
  }

  /** @throws ModelError when vectors have no mean direction, or another dimension than those before. */
  add(key: string, samples: readonly Sample[]): void {
    const mean = unitMean(samples.map(({ vector }) => vector))
    const index = this.#index ?? (this.#rounded ??= new RoundedIndex(mean.length))
    index.add(key, mean)
    this.#samples.set(key, samples)
  }

  remove(key: string): void {
    this.#index?.remove(key)
    this.#rounded?.remove(key)
    this.#samples.delete(key)
  }

  /** For each question, in order, keys that its `skip` does not hold: at least its `k` where there are as many, in no order. */
  near<Asked extends Question>(
    questions: readonly Asked[],
  ): readonly { readonly question: Asked; readonly keys: readonly string[] }[] {
    const found = this.#near(questions)
    return questions.map((question, at) => ({ question, keys: found[at] ?? [] }))
  }

  has(key: string): boolean {
    return this.#samples.has(key)
  }

  /** An adapter's sample. */
  sample(key: string, at: number): Sample | undefined {
    return this.#samples.get(key)?.[at]
  }

  /** All samples, in the order of their keys. */
  samples(): readonly { readonly key: string; readonly at: number; readonly sample: Sample }[] {
    return [...this.#samples.keys()]
      .toSorted()
      .flatMap(key => (this.#samples.get(key) ?? []).map((sample, at) => ({ key, at, sample })))
  }

  #near(questions: readonly Question[]): readonly (readonly string[])[] {
    if (this.size <= MAX_SCORED) {
      const all = [...this.#samples.keys()]
      return questions.map(({ k, skip }) => (k === 0 ? [] : all.filter(key => !skip.has(key))))
    }
    const more = questions.map(({ vector, k, skip }) => ({ vector, k: k === 0 ? 0 : Math.max(NEAR, k), skip }))
    if (this.#index !== undefined) return this.#index.search(more).map(found => found.map(({ key }) => key))
    const found: (readonly string[])[] = []
    for (const near of this.#rounded?.near(more, false) ?? []) found.push(nearest(near))
    return found
  }
}

/** Keys of the `k` largest products beside those that are skipped, and of all that equal the least of them. */
function nearest({ question: { k, skip }, keys, products }: Near): readonly string[] {
  const found: string[] = []
  if (k === 0) return found
  const count = k + skip.size
  const least = count < products.length ? atPlace(products, count) : -Infinity
  for (let at = 0; at < products.length; at += 1) {
    const key = keys[at] ?? ''
    if ((products[at] ?? 0) >= least && !skip.has(key)) found.push(key)
  }
  return found
}
