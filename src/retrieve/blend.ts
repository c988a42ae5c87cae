import { reused } from './reused.ts'

/** Weights of two scores: their sum, so weighted, is in nats, and its softmax over adapters a probability. */
export type Blend = { readonly dense: number; readonly lexical: number }

/** Where nothing can be fitted, and where the fit is drawn to: between what two pools of tasks gave. */
export const USUAL: Blend = { dense: 0.12, lexical: 15 }

/** As many samples hold the fit to {@link USUAL}, so that samples that all score right do not drive it to certainty. */
const PRIOR = 10

/**
 * The share of samples that are like none of their adapter's others. Without it they alone would decide: a judge who is
 * right and sure of nearly all would be weighed down by the few on which it is wrong and sure.
 */
const ODD = 0.05

/** Gradient steps; far fewer are needed. */
const ROUNDS = 30

/** One held-out sample: both scores of every adapter, and which is its own. */
export type Trial = { readonly dense: Float64Array; readonly lexical: Float64Array; readonly own: number }

/**
 * The weights under which held-out samples find their own adapters likeliest: the maximum of
 * Σ log((1−ODD)·p + ODD/n) − PRIOR·((log a/a₀)² + (log b/b₀)²)/2, p = softmax(a·dense + b·lexical)[own] of n adapters, by
 * gradient steps on the logarithms of a and b, each a step of the work.
 */
export function* fitBlend(trials: readonly Trial[]): Generator<void, Blend> {
  let at: readonly [number, number] = [0, 0]
  let value = objective(trials, at)
  let step = 1 / (PRIOR + trials.length)
  for (let round = 0; round < ROUNDS; round += 1) {
    const [a, b] = at
    const next = [a + limited(step * value.gradient[0]), b + limited(step * value.gradient[1])] as const
    const tried = objective(trials, next)
    if (tried.sum >= value.sum) {
      at = next
      value = tried
      step *= 1.6
    } else step /= 3
    yield
  }
  return blendAt(at)
}

/** Both scores of each adapter as one, in `into`, as long as these. It may be one of them. */
export function blended(
  blend: Blend,
  dense: ArrayLike<number>,
  lexical: ArrayLike<number>,
  into: Float64Array = new Float64Array(dense.length),
): Float64Array {
  for (let at = 0; at < into.length; at += 1)
    into[at] = blend.dense * (dense[at] ?? 0) + blend.lexical * (lexical[at] ?? 0)
  return into
}

/** Adapters that are less probable lend nothing: it would move those alone that are far behind, and every one takes time. */
const LEAST_SPREAD = 0.02

/**
 * Scores in nats that allow for what {@link ODD} says of samples: a prompt in twenty is like none of its adapter's, but often
 * like those of an adapter that is like it. log((1 − ODD)·p + ODD·Tᵀp) + log Σ exp(score), with p = softmax(score) and T
 * the `shares` that go from one adapter to the others; what adapters below {@link LEAST_SPREAD} would lend is left out of the
 * sum. One alone has nobody to lend to. They are in `into`, which may be `scores`.
 */
export function spread(
  scores: Float64Array,
  shares: (from: number) => ArrayLike<number>,
  into: Float64Array = new Float64Array(scores.length),
): Float64Array {
  if (scores.length < 2) {
    into.set(scores)
    return into
  }
  const top = largest(scores)
  /** p, and what each is given, both times the sum of p. */
  const weights = weightsOf(scores.length)
  const given = givenTo(scores.length).fill(0)
  let total = 0
  for (let at = 0; at < scores.length; at += 1) total += weights[at] = Math.exp((scores[at] ?? 0) - top)
  for (let from = 0; from < scores.length; from += 1) {
    const weight = weights[from] ?? 0
    if (weight < LEAST_SPREAD * total) continue
    const parts = shares(from)
    for (let at = 0; at < scores.length; at += 1) given[at] = (given[at] ?? 0) + weight * (parts[at] ?? 0)
  }
  for (let at = 0; at < scores.length; at += 1) {
    const after = (1 - ODD) * (weights[at] ?? 0) + ODD * (given[at] ?? 0)
    // What is far below the best may have come to 0.
    into[at] = Math.max((scores[at] ?? 0) + LEFT, top + Math.log(after))
  }
  return into
}

const LEFT = Math.log(1 - ODD)
const weightsOf = reused(Float64Array)
const givenTo = reused(Float64Array)

function largest(scores: Float64Array): number {
  let most = -Infinity
  for (let at = 0; at < scores.length; at += 1) most = Math.max(most, scores[at] ?? 0)
  return most
}

/** A step of more than a factor of e is a guess. */
const limited = (step: number): number => Math.max(-1, Math.min(1, step))

function blendAt([a, b]: readonly [number, number]): Blend {
  return { dense: USUAL.dense * Math.exp(a), lexical: USUAL.lexical * Math.exp(b) }
}

function objective(
  trials: readonly Trial[],
  at: readonly [number, number],
): { readonly sum: number; readonly gradient: readonly [number, number] } {
  const { dense, lexical } = blendAt(at)
  let sum = (-PRIOR * (at[0] ** 2 + at[1] ** 2)) / 2
  let [byDense, byLexical] = [-PRIOR * at[0], -PRIOR * at[1]]
  for (const trial of trials) {
    const scores = trial.dense.map((score, place) => dense * score + lexical * (trial.lexical[place] ?? 0))
    const top = scores.reduce((most, score) => Math.max(most, score), -Infinity)
    let total = 0
    let meanDense = 0
    let meanLexical = 0
    for (let place = 0; place < scores.length; place += 1) {
      const share = Math.exp((scores[place] ?? 0) - top)
      total += share
      meanDense += share * (trial.dense[place] ?? 0)
      meanLexical += share * (trial.lexical[place] ?? 0)
    }
    const usual = ((1 - ODD) * Math.exp((scores[trial.own] ?? 0) - top)) / total
    const either = usual + ODD / scores.length
    sum += Math.log(either)
    const counts = usual / either
    byDense += counts * dense * ((trial.dense[trial.own] ?? 0) - meanDense / total)
    byLexical += counts * lexical * ((trial.lexical[trial.own] ?? 0) - meanLexical / total)
  }
  return { sum, gradient: [byDense, byLexical] }
}
