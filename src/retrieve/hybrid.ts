import type { HeldOut, Scorer } from '../ports.ts'
import { fitBlend, USUAL, type Blend } from './blend.ts'
import { Candidates } from './candidates.ts'
import type { CovarianceScorerOptions } from './covariance.ts'
import { evenly, Lexical } from './lexical.ts'
import { HELD_OUT_OTHERS } from './linear-scorers.ts'
import { insert, type Scored } from './ranking.ts'
import { WithinCovariance } from './within-covariance.ts'

export type HybridOptions = CovarianceScorerOptions

/** λ. More than the covariance alone does best with: prompts in other words than the samples' lie further off. */
const SHRINKAGE = 1

/** Samples that are left out in turn, evenly from all. */
const MAX_HELD_OUT = 512

/** What was learnt by leaving samples out, under one state of the pool. */
type Fit = { readonly of: object; readonly blend: Blend; readonly heldOut: readonly HeldOut[] }

/**
 * Two judges of a prompt, weighted by how well each finds the adapters of samples that were left out: a Gaussian on
 * vectors (as {@link covariance}), and a ridge regression on words and characters. Scores are in nats: softmax(score)
 * over adapters is the probability of each, given that the prompt is for one of them. All is fitted on the pool's own
 * samples, at the first question after a change, in about a second for a thousand samples and in no more for any pool.
 */
export function hybrid({ index, fitOn }: HybridOptions = {}): Scorer {
  const candidates = new Candidates(index)
  const gaussian = new WithinCovariance({ shrinkage: SHRINKAGE, fitOn })
  const lexical = new Lexical(fitOn)
  let fit: Fit | undefined

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
      lexical.add(
        key,
        samples.map(({ text }) => text),
      )
    },
    remove,
    search({ text, vector }, k, skip) {
      const keys = candidates.near(vector, k, skip)
      if (keys.length === 0) return []
      const { dense: a, lexical: b } = fitted().blend
      const query = gaussian.query(vector)
      const middle = gaussian.middle(query)
      const words = lexical.vector(text)
      const best: Scored[] = []
      for (const key of keys) {
        const score = a * gaussian.score(key, query, middle) + b * lexical.score(key, words)
        insert(best, { key, score }, k)
      }
      return best
    },
    *prepare() {
      if (candidates.size > 0) fitted()
      for (const key of candidates.keys()) {
        gaussian.prepare(key)
        lexical.prepare(key)
        yield
      }
    },
    heldOut: () => (candidates.size === 0 ? [] : fitted().heldOut),
  }

  function remove(key: string): void {
    candidates.remove(key)
    gaussian.remove(key)
    lexical.remove(key)
  }

  function fitted(): Fit {
    if (fit?.of !== lexical.version) fit = { of: lexical.version, ...learn() }
    return fit
  }

  function learn(): Pick<Fit, 'blend' | 'heldOut'> {
    const keys = lexical.fitKeys()
    if (keys.length < 2) return { blend: USUAL, heldOut: [] }
    const all = lexical.heldOut()
    const trials = evenly(all.length, MAX_HELD_OUT).flatMap(place => {
      const trial = all[place]
      const dense = trial === undefined ? undefined : gaussian.heldOutScores(trial.key, trial.sample, keys)
      if (trial === undefined || dense === undefined) return []
      const own = keys.indexOf(trial.key)
      return [
        {
          dense,
          lexical: Float64Array.from(keys, key => trial.score(key)),
          own,
        },
      ]
    })
    const blend = fitBlend(trials)
    return { blend, heldOut: trials.map(trial => heldOutOf(trial, blend)) }
  }
}

function heldOutOf(
  { dense, lexical, own }: { readonly dense: Float64Array; readonly lexical: Float64Array; readonly own: number },
  blend: Blend,
): HeldOut {
  const scores = Array.from(dense, (value, at) => blend.dense * value + blend.lexical * (lexical[at] ?? 0))
  const others = scores.filter((_, at) => at !== own).toSorted((one, other) => other - one)
  return { own: scores[own] ?? 0, others: others.slice(0, HELD_OUT_OTHERS) }
}
