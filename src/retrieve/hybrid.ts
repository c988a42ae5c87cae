import type { HeldOut, Scorer } from '../ports.ts'
import { fitBlend, USUAL, type Blend, type Trial } from './blend.ts'
import { Candidates } from './candidates.ts'
import type { CovarianceScorerOptions } from './covariance.ts'
import { evenly, heldOut, HELD_OUT_OTHERS } from './held-out.ts'
import { Lexical, type LexicalHeldOut } from './lexical.ts'
import { bestOf } from './ranking.ts'
import { WithinCovariance } from './within-covariance.ts'

export type HybridOptions = CovarianceScorerOptions

/** λ. More than the covariance alone does best with: prompts in other words than the samples' lie further off. */
const SHRINKAGE = 1

/** Samples that are left out in turn, evenly from all. */
const MAX_HELD_OUT = 512

/** A sample that is left out, and what it scores for each adapter of the fit. */
type HeldOutTrial = Trial & { readonly words: LexicalHeldOut }

/** What was learnt by leaving samples out, under one state of the pool. `keys` are the adapters of the fit. */
type Fit = {
  readonly of: object
  readonly keys: readonly string[]
  readonly blend: Blend
  readonly trials: readonly HeldOutTrial[]
}

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
      const { blend } = fitted()
      const query = gaussian.query(vector)
      const middle = gaussian.middle(query)
      const words = lexical.vector(text)
      return bestOf(keys, k, key => blended(blend, gaussian.score(key, query, middle), lexical.score(key, words)))
    },
    *prepare() {
      if (candidates.size > 0) fitted()
      for (const key of candidates.keys()) {
        gaussian.prepare(key)
        lexical.prepare(key)
        yield
      }
    },
    heldOut() {
      if (candidates.size === 0) return []
      const { trials } = fitted()
      return trials.flatMap(trial => leftOut(trial))
    },
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

  function learn(): Omit<Fit, 'of'> {
    const keys = lexical.fitKeys()
    if (keys.length < 2) return { keys, blend: USUAL, trials: [] }
    const all = lexical.heldOut()
    const trials = evenly(all.length, MAX_HELD_OUT).flatMap(place => {
      const words = all[place]
      const dense = words === undefined ? undefined : gaussian.heldOutScores(words.key, words.sample, keys)
      if (words === undefined || dense === undefined) return []
      const own = keys.indexOf(words.key)
      return [{ dense, lexical: Float64Array.from(keys, key => words.score(key)), own, words }]
    })
    return { keys, blend: fitBlend(trials), trials }
  }

  /**
   * Against whom a prompt would be told from: where the fit is not of the whole pool, the nearest of the pool and not only
   * those of the fit. The best stranger of 2,000 scores far more than the best of two dozen.
   */
  function leftOut({ own, words, ...trial }: HeldOutTrial): readonly HeldOut[] {
    const { keys, blend } = fitted()
    if (keys.length === candidates.size) {
      const scores = keys.map((_, at) => blended(blend, trial.dense[at] ?? 0, trial.lexical[at] ?? 0))
      return [
        heldOut(
          scores[own] ?? 0,
          scores.filter((_, at) => at !== own),
        ),
      ]
    }
    const sample = candidates.sample(words.key, words.sample)
    if (sample === undefined) return []
    const others = candidates.near(sample.vector, HELD_OUT_OTHERS, new Set([words.key]))
    const dense = gaussian.heldOutScores(words.key, words.sample, [words.key, ...others]) ?? []
    const text = lexical.vector(sample.text)
    const inFit = new Set(keys)
    const [first = 0, ...rest] = Array.from(dense, (value, at) => {
      const key = at === 0 ? words.key : (others[at - 1] ?? '')
      return blended(blend, value, inFit.has(key) ? words.score(key) : lexical.score(key, text))
    })
    return [heldOut(first, rest)]
  }
}

const blended = (blend: Blend, dense: number, lexical: number): number => blend.dense * dense + blend.lexical * lexical
