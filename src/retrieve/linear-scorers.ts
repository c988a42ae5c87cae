import { ModelError } from '../errors.ts'
import type { HeldOut, Question, Sample, Scorer, VectorIndex } from '../ports.ts'
import { flat } from './flat-index.ts'
import { evenly, heldOut, RIVALS } from './held-out.ts'
import { mean, unitMean } from './vectors.ts'

export type IndexOptions = {
  /** Empty, and this scorer's alone. By default exact search. */
  readonly index?: VectorIndex | undefined
}

/** As many samples are left out in turn; more tell no more about the scores of prompts to come. */
const MAX_HELD_OUT = 1024

/**
 * The cosine of prompt and mean sample, as the paper has it (LoraRetriever, section 3.2): scores from −1 to 1.
 */
export function cosine({ index = flat() }: IndexOptions = {}): Scorer {
  return new MeanScorer(index, unitMean)
}

/**
 * The inner product of prompt and mean sample, as the authors' released code has it: the mean is not scaled to unit
 * length, so adapters whose samples lie close together draw prompts. For comparison. Scores from −1 to 1.
 */
export function innerProduct({ index = flat() }: IndexOptions = {}): Scorer {
  return new MeanScorer(index, mean)
}

class MeanScorer implements Scorer {
  readonly #index: VectorIndex
  readonly #place: (vectors: readonly Float32Array[]) => Float32Array
  readonly #vectors = new Map<string, readonly Float32Array[]>()

  constructor(index: VectorIndex, place: (vectors: readonly Float32Array[]) => Float32Array) {
    this.#index = index
    this.#place = place
  }

  get size(): number {
    return this.#index.size
  }

  add(key: string, samples: readonly Sample[]): void {
    if (samples.length === 0) {
      this.remove(key)
      return
    }
    const vectors = samples.map(({ vector }) => vector)
    this.#index.add(key, this.#place(vectors))
    this.#vectors.set(key, vectors)
  }

  remove(key: string): void {
    this.#index.remove(key)
    this.#vectors.delete(key)
  }

  search(questions: readonly Question[]): ReturnType<Scorer['search']> {
    return this.#index.search(questions)
  }

  /** An index is always ready. */
  prepare(): readonly void[] {
    return []
  }

  *heldOut(): Generator<HeldOut> {
    const keys = [...this.#vectors.keys()].toSorted()
    const all = keys.flatMap(key => {
      const vectors = this.#vectors.get(key) ?? []
      return vectors.length < 2 ? [] : vectors.map((vector, left) => ({ key, vectors, vector, left }))
    })
    for (const at of evenly(all.length, MAX_HELD_OUT)) {
      const trial = all[at]
      const place = trial === undefined ? undefined : this.#without(trial.vectors, trial.left)
      if (trial === undefined || place === undefined) continue
      const { key, vector } = trial
      const [others = []] = this.#index.search([{ vector, k: RIVALS, skip: new Set([key]) }])
      const own = place.reduce((sum, value, axis) => sum + value * (vector[axis] ?? 0), 0)
      yield heldOut(
        own,
        others.map(({ score }) => score),
      )
    }
  }

  /** None where the others cancel each other out. */
  #without(vectors: readonly Float32Array[], left: number): Float32Array | undefined {
    try {
      return this.#place(vectors.filter((_, at) => at !== left))
    } catch (error) {
      if (error instanceof ModelError) return undefined
      throw error
    }
  }
}
