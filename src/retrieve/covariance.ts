import type { HeldOut, Sample, Scorer, VectorIndex } from '../ports.ts'
import { Candidates } from './candidates.ts'
import { evenly, heldOut, RIVALS } from './held-out.ts'
import { bestOf } from './ranking.ts'
import { WithinCovariance } from './within-covariance.ts'

export type CovarianceScorerOptions = {
  /** Finds who is worth a look in a large pool. Empty, and this scorer's alone; by default exact search. */
  readonly index?: VectorIndex | undefined
  /** Adapters whose samples may make the covariance; by default all. */
  readonly fitOn?: ReadonlySet<string> | undefined
}

/** λ, chosen by leaving samples out. */
const SHRINKAGE = 0.3

const MAX_HELD_OUT = 1024

/**
 * How much likelier the prompt's vector is from an adapter than from the middle of the pool, adapters being Gaussians of
 * one covariance, that of samples around their adapters' means: scores in nats, 0 for the middle.
 */
export function covariance({ index, fitOn }: CovarianceScorerOptions = {}): Scorer {
  const gaussian = new WithinCovariance({ shrinkage: SHRINKAGE, fitOn })
  const candidates = new Candidates(index)

  return {
    get size() {
      return candidates.size
    },
    add(key, samples) {
      if (samples.length === 0) {
        remove(key)
        return
      }
      candidates.add(key, samples)
      gaussian.add(
        key,
        samples.map(({ vector }) => vector),
      )
    },
    remove,
    search(questions) {
      return candidates
        .near(questions)
        .map(({ question: { vector, k }, keys }) => bestOf(keys, gaussian.scores(keys, vector), k))
    },
    prepare: () => gaussian.prepare(),
    *heldOut() {
      const samples = candidates.samples()
      for (const at of evenly(samples.length, MAX_HELD_OUT)) yield* heldOutOf(samples[at])
    },
  }

  function remove(key: string): void {
    candidates.remove(key)
    gaussian.remove(key)
  }

  function heldOutOf(
    sample: { readonly key: string; readonly at: number; readonly sample: Sample } | undefined,
  ): HeldOut[] {
    if (sample === undefined) return []
    const {
      key,
      at,
      sample: { vector },
    } = sample
    const near = candidates.near([{ vector, k: RIVALS, skip: new Set([key]) }]).flatMap(({ keys }) => keys)
    const [own, ...others] = gaussian.heldOutScores(key, at, [key, ...near]) ?? []
    return own === undefined ? [] : [heldOut(own, others)]
  }
}
