import type { Sample, VectorIndex } from '../ports.ts'
import { flat } from './flat-index.ts'
import { unitMean } from './vectors.ts'

/** Up to so many adapters all are scored; more would take longer than to search the index first. */
const MAX_SCORED = 128

/** Adapters that the index is asked for, at least. */
const NEAR = 48

/**
 * The adapters that are worth a look for a prompt: all of a small pool, and of a large one those whose mean sample is
 * nearest by cosine. Index and means are as they are with the plain cosine, so that nothing is rebuilt when a fit changes.
 */
export class Candidates {
  readonly #index: VectorIndex
  readonly #samples = new Map<string, readonly Sample[]>()

  constructor(index: VectorIndex = flat()) {
    this.#index = index
  }

  get size(): number {
    return this.#samples.size
  }

  /** @throws ModelError when vectors have no mean direction, or another dimension than those before. */
  add(key: string, samples: readonly Sample[]): void {
    this.#index.add(key, unitMean(samples.map(({ vector }) => vector)))
    this.#samples.set(key, samples)
  }

  remove(key: string): void {
    this.#index.remove(key)
    this.#samples.delete(key)
  }

  /** Keys that `skip` does not hold, at least `k` where there are as many. */
  near(vector: Float32Array, k: number, skip: ReadonlySet<string>): readonly string[] {
    if (k === 0) return []
    if (this.size <= MAX_SCORED) return [...this.#samples.keys()].filter(key => !skip.has(key))
    return this.#index.search(vector, Math.max(NEAR, k), skip).map(({ key }) => key)
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
