import type { HeldOut, Question, Sample, Scored, Scorer } from '../ports.ts'
import { blended, fitBlend, spread, USUAL, type Blend, type Trial } from './blend.ts'
import { Candidates } from './candidates.ts'
import type { CovarianceScorerOptions } from './covariance.ts'
import { evenly, heldOut, RIVALS } from './held-out.ts'
import { Likeness } from './likeness.ts'
import { Lexical, type LexicalHeldOut } from './lexical.ts'
import { bestOf } from './ranking.ts'
import { reused } from './reused.ts'
import { Steps } from './steps.ts'
import { unitMean } from './vectors.ts'
import { WithinCovariance } from './within-covariance.ts'

export type HybridOptions = CovarianceScorerOptions

/** λ. More than the covariance alone does best with: prompts in other words than the samples' lie further off. */
const SHRINKAGE = 1

/** Samples that are left out in turn, evenly from all. */
const MAX_HELD_OUT = 512

/** A sample that is left out, and what it scores for each adapter of the fit. */
type HeldOutTrial = Trial & { readonly words: LexicalHeldOut }

/** What was learnt by leaving samples out. `keys` are the adapters of the fit. */
type Fit = {
  readonly keys: readonly string[]
  readonly blend: Blend
  readonly trials: readonly HeldOutTrial[]
}

/**
 * Two judges of a prompt, weighted by how well each finds the adapters of samples that were left out: a Gaussian on
 * vectors (as {@link covariance}), and a ridge regression on words and characters. A little of what speaks for an adapter
 * speaks for those that are like it ({@link spread}). Scores are in nats: softmax(score)
 * over adapters is the probability of each, given that the prompt is for one of them. All is fitted on the pool's own
 * samples, before the first question after a change or with it, in a fraction of a second for a thousand samples and in no
 * more for any pool.
 */
export function hybrid({ index, fitOn }: HybridOptions = {}): Scorer {
  const candidates = new Candidates(index)
  const gaussian = new WithinCovariance({ shrinkage: SHRINKAGE, fitOn })
  const lexical = new Lexical(fitOn)
  const likeness = new Likeness()
  const scoresOf = reused(Float64Array)
  let fit: { readonly of: object; readonly learnt: Steps<Fit> } | undefined

  return {
    get size() {
      return candidates.size
    },
    add(key, samples) {
      if (samples.length === 0) {
        remove(key)
        return
      }
      const vectors = samples.map(({ vector }) => vector)
      candidates.add(key, samples)
      likeness.add(key, unitMean(vectors))
      gaussian.add(key, vectors)
      lexical.add(
        key,
        samples.map(({ text }) => text),
      )
    },
    remove,
    search(questions) {
      return candidates.near(questions).map(({ question, keys }) => likeliest(keys, question))
    },
    *prepare() {
      if (candidates.size === 0) return
      yield* lexical.prepare()
      yield* gaussian.prepare()
      yield* fitting().rest()
    },
    *heldOut() {
      if (candidates.size === 0) return
      const learnt = fitting().finish()
      for (const trial of learnt.trials) yield* leftOut(learnt, trial)
    },
  }

  function remove(key: string): void {
    candidates.remove(key)
    gaussian.remove(key)
    lexical.remove(key)
    likeness.remove(key)
  }

  function likeliest(keys: readonly string[], { text, vector, k }: Question & Sample): readonly Scored[] {
    if (keys.length === 0) return []
    const { blend } = fitting().finish()
    const scores = gaussian.scores(keys, vector, scoresOf(keys.length))
    blended(blend, scores, lexical.scores(keys, text), scores)
    return bestOf(keys, spread(scores, likeness.among(keys), scores), k)
  }

  function fitting(): Steps<Fit> {
    if (fit?.of !== lexical.version) fit = { of: lexical.version, learnt: new Steps(learn()) }
    return fit.learnt
  }

  function* learn(): Generator<void, Fit> {
    const keys = lexical.fitKeys()
    if (keys.length < 2) return { keys, blend: USUAL, trials: [] }
    const all = lexical.heldOut()
    const trials: HeldOutTrial[] = []
    for (const place of evenly(all.length, MAX_HELD_OUT)) {
      const words = all[place]
      const dense = words === undefined ? undefined : gaussian.heldOutScores(words.key, words.sample, keys)
      if (words === undefined || dense === undefined) continue
      const own = keys.indexOf(words.key)
      trials.push({ dense, lexical: Float64Array.from(keys, key => words.score(key)), own, words })
      yield
    }
    return { keys, blend: yield* fitBlend(trials), trials }
  }

  /**
   * Against whom a prompt would be told from: where the fit is not of the whole pool, the nearest of the pool and not only
   * those of the fit. The best stranger of 2,000 scores far more than the best of two dozen.
   */
  function leftOut({ keys, blend }: Fit, { dense, lexical: text, own, words }: HeldOutTrial): readonly HeldOut[] {
    if (keys.length === candidates.size && keys.every(key => candidates.has(key)))
      return [held(keys, blended(blend, dense, text), own)]
    const sample = candidates.sample(words.key, words.sample)
    if (sample === undefined) return []
    const question = { vector: sample.vector, k: RIVALS, skip: new Set([words.key]) }
    const near = [words.key, ...candidates.near([question]).flatMap(rivals => rivals.keys)]
    const inFit = new Set(keys)
    const plain = lexical.scores(near, sample.text).map((score, at) => {
      const key = near[at] ?? ''
      return inFit.has(key) ? words.score(key) : score
    })
    return [held(near, blended(blend, gaussian.heldOutScores(words.key, words.sample, near) ?? [], plain), 0)]
  }

  /**
   * `own` is the place of the sample's adapter. A prompt that excludes it leaves the others nothing that it could lend. Lending
   * alone has seen the sample, as one of those that its adapter's mean is of.
   */
  function held(keys: readonly string[], scores: Float64Array, own: number): HeldOut {
    const isOther = (_: unknown, at: number): boolean => at !== own
    const inside = spread(scores, likeness.among(keys))
    const outside = spread(scores.filter(isOther), likeness.among(keys.filter(isOther)))
    return heldOut(inside[own] ?? 0, inside.filter(isOther), outside)
  }
}
