import type { Sample, VectorIndex } from '../ports.ts'
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

  /** Keys that `skip` does not hold, at least `k` where there are as many. */
  near(vector: Float32Array, k: number, skip: ReadonlySet<string>): readonly string[] {
    if (k === 0) return []
    if (this.size <= MAX_SCORED) return [...this.#samples.keys()].filter(key => !skip.has(key))
    const wanted = Math.max(NEAR, k)
    if (this.#index !== undefined) return this.#index.search(vector, wanted, skip).map(({ key }) => key)
    const count = wanted + skip.size
    return this.#rounded === undefined ? [] : nearest(this.#rounded.near(vector, count, false), count, skip)
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
}

/** Keys of the `count` largest products, and of those that equal the least of them, but those that `skip` holds. */
function nearest({ keys, products }: Near, count: number, skip: ReadonlySet<string>): readonly string[] {
  const least = count < products.length ? atPlace(products, count) : -Infinity
  const found: string[] = []
  for (let at = 0; at < products.length; at += 1) {
    const key = keys[at] ?? ''
    if ((products[at] ?? 0) >= least && !skip.has(key)) found.push(key)
  }
  return found
}
