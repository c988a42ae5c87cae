import type { HeldOut } from '../ports.ts'

/** Turns scores into probabilities; see {@link confidences}. */
export type Calibration = {
  /** τ of the softmax over adapters, in units of the score. */
  readonly temperature: number
  /** Log-odds that the prompt's own adapter is in the pool: bias + best·(best score) + margin·(best − second). */
  readonly bias: number
  readonly best: number
  readonly margin: number
}

/** Fewer say nothing about the scores of prompts to come. */
const MIN_SAMPLES = 20

/**
 * Fits a calibration on the pool's own samples alone. Each sample serves twice: as a prompt whose adapter is in the pool, and,
 * its own adapter excluded, as one whose adapter is not. The odds of these two are a logistic regression on the
 * best score and its lead; the temperature is the likeliest for the samples' own adapters. None where there are too few
 * samples, or no two other adapters to compare with. In steps, so that others can have their turn.
 */
export function* fitCalibration(samples: readonly HeldOut[]): Generator<void, Calibration | undefined> {
  const usable = samples.filter(
    ({ own, others, without }) => without.length > 1 && [own, ...others, ...without].every(Number.isFinite),
  )
  if (usable.length < MIN_SAMPLES) return undefined
  const inside = usable.map(({ own, others }) => features([own, ...others].toSorted((one, other) => other - one)))
  const outside = usable.map(({ without }) => features(without))
  // Where all score alike there is no unit, and none is needed.
  const scale = deviation([...inside, ...outside].map(([best]) => best)) || 1
  const [bias, best, margin] = yield* logistic(
    [...inside, ...outside].map(([top, lead]) => [1, top / scale, lead / scale]),
    inside.length,
  )
  return { temperature: yield* temperatureOf(usable, scale), bias, best: best / scale, margin: margin / scale }
}

/**
 * For each score, best first, the probability that its adapter is the prompt's own: softmax(score/τ) of all of them, times
 * the probability that any adapter of the pool is. What is missing to 1 is the chance that none is.
 */
export function confidences(scores: readonly number[], calibration: Calibration): readonly number[] {
  const { temperature, bias, best, margin } = calibration
  const [top, lead] = features(scores)
  const present = 1 / (1 + Math.exp(-(bias + best * top + margin * lead)))
  const shares = scores.map(score => Math.exp((score - top) / temperature))
  const total = shares.reduce((sum, share) => sum + share, 0)
  return shares.map(share => (present * share) / total)
}

/** The best score, and its lead over the second. */
function features([best = 0, second = best]: readonly number[]): readonly [best: number, lead: number] {
  return [best, best - second]
}

/**
 * Steps of a search on a logarithmic scale, from ten times the scores' deviation to a thousandth of it. Of several that are as
 * likely, as where every sample is right by far, the first and mildest is taken.
 */
const TEMPERATURES = Array.from({ length: 81 }, (_, step) => 10 ** (1 - step / 20))

function* temperatureOf(samples: readonly HeldOut[], scale: number): Generator<void, number> {
  let found = { temperature: scale, likelihood: -Infinity }
  for (const step of TEMPERATURES) {
    const temperature = step * scale
    const likelihood = samples.reduce((sum, sample) => sum + ownShare(sample, temperature), 0)
    if (likelihood > found.likelihood) found = { temperature, likelihood }
    yield
  }
  return found.temperature
}

/** The logarithm of the softmax at a sample's own adapter. */
function ownShare({ own, others }: HeldOut, temperature: number): number {
  const top = Math.max(own, others[0] ?? own)
  let total = Math.exp((own - top) / temperature)
  for (const score of others) total += Math.exp((score - top) / temperature)
  return (own - top) / temperature - Math.log(total)
}

/** Keeps separable samples from weights without end. */
const RIDGE = 1e-2
const ROUNDS = 25

type Vector3 = readonly [number, number, number]

/** Logistic regression by Newton's method; the first `positives` rows are the positive ones. */
function* logistic(rows: readonly Vector3[], positives: number): Generator<void, Vector3> {
  let weights: Vector3 = [0, 0, 0]
  for (let round = 0; round < ROUNDS; round += 1) {
    const [a, b, c] = weights
    const gradient: [number, number, number] = [-RIDGE * a, -RIDGE * b, -RIDGE * c]
    const hessian = [RIDGE, 0, 0, 0, RIDGE, 0, 0, 0, RIDGE]
    for (const [index, row] of rows.entries()) addRow(weights, row, index < positives ? 1 : 0, gradient, hessian)
    const [da, db, dc] = solve(hessian, gradient)
    weights = [a + da, b + db, c + dc]
    yield
  }
  return weights
}

/** A row's part of the likelihood's first and second derivative. */
function addRow([a, b, c]: Vector3, row: Vector3, target: number, gradient: number[], hessian: number[]): void {
  const odds = 1 / (1 + Math.exp(-(a * row[0] + b * row[1] + c * row[2])))
  const spread = odds * (1 - odds)
  for (let i = 0; i < 3; i += 1) {
    const left = row[i] ?? 0
    gradient[i] = (gradient[i] ?? 0) + (target - odds) * left
    for (let j = 0; j < 3; j += 1) hessian[3 * i + j] = (hessian[3 * i + j] ?? 0) + spread * left * (row[j] ?? 0)
  }
}

/** Cramer's rule; the ridge keeps the matrix `[3, 3]` from being singular. */
function solve(matrix: readonly number[], right: Vector3): Vector3 {
  const whole = determinant(matrix)
  const column = (at: number) =>
    determinant(matrix.map((value, index) => (index % 3 === at ? (right[Math.floor(index / 3)] ?? 0) : value)))
  return [column(0) / whole, column(1) / whole, column(2) / whole]
}

function determinant([a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0, i = 0]: readonly number[]): number {
  return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
}

function deviation(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)
}
