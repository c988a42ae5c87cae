import { random as randomOf } from '../src/cli/bench/random.ts'

/** A point of the plane. */
export type Point = readonly [x: number, y: number]

export type TsneOptions = {
  /** About how many neighbours of a point count. */
  readonly perplexity: number
  readonly iterations: number
  readonly seed: number
}

/** Attraction is multiplied by this at first, so that groups form before they spread. */
const EXAGGERATION = 8
const RATE = 60

/**
 * Places vectors in the plane so that near ones are near: t-SNE (van der Maaten and Hinton 2008), exact, on the cosine
 * distance of unit vectors. The same vectors and seed, the same picture.
 */
export function tsne(vectors: readonly Float32Array[], { perplexity, iterations, seed }: TsneOptions): Point[] {
  const n = vectors.length
  const likeness = affinities(vectors, perplexity)
  const random = randomOf(seed)
  const place = Float64Array.from({ length: 2 * n }, () => (random() - 0.5) * 1e-3)
  const speed = new Float64Array(2 * n)
  const gain = new Float64Array(2 * n).fill(1)
  const slope = new Float64Array(2 * n)
  const near = new Float64Array(n * n)
  for (let step = 0; step < iterations; step += 1) {
    gradient(likeness, place, near, slope, step < iterations / 4 ? EXAGGERATION : 1)
    const momentum = step < iterations / 4 ? 0.5 : 0.8
    for (let at = 0; at < 2 * n; at += 1) {
      const same = Math.sign(slope[at] ?? 0) === Math.sign(speed[at] ?? 0)
      gain[at] = Math.max(0.01, same ? (gain[at] ?? 1) * 0.8 : (gain[at] ?? 1) + 0.2)
      speed[at] = momentum * (speed[at] ?? 0) - RATE * (gain[at] ?? 1) * (slope[at] ?? 0)
      place[at] = (place[at] ?? 0) + (speed[at] ?? 0)
    }
  }
  return vectors.map((_, index) => [place[2 * index] ?? 0, place[2 * index + 1] ?? 0])
}

/** How much each two points are neighbours, `[n, n]`, symmetric, summing to 1. */
function affinities(vectors: readonly Float32Array[], perplexity: number): Float64Array {
  const n = vectors.length
  const joint = new Float64Array(n * n)
  for (const [row, vector] of vectors.entries()) {
    const distances = vectors.map(other => 2 - 2 * dot(vector, other))
    const shares = sharesAt(distances, row, Math.log(Math.min(perplexity, (n - 1) / 3)))
    for (const [column, share] of shares.entries()) {
      for (const at of [row * n + column, column * n + row]) joint[at] = (joint[at] ?? 0) + share / (2 * n)
    }
  }
  return joint
}

/** The Gaussian around `self` whose entropy is as wanted, found by bisection. */
function sharesAt(distances: readonly number[], self: number, wanted: number): Float64Array {
  let [low, high, precision] = [0, Infinity, 1]
  let shares = new Float64Array(distances.length)
  for (let attempt = 0; attempt < 60; attempt += 1) {
    const weights = distances.map((distance, index) => (index === self ? 0 : Math.exp(-distance * precision)))
    const sum = weights.reduce((total, weight) => total + weight, 0) || Number.MIN_VALUE
    shares = Float64Array.from(weights, weight => weight / sum)
    const entropy = shares.reduce((total, share) => total - (share > 0 ? share * Math.log(share) : 0), 0)
    if (Math.abs(entropy - wanted) < 1e-5) break
    if (entropy > wanted) low = precision
    else high = precision
    precision = high === Infinity ? precision * 2 : (low + high) / 2
  }
  return shares
}

/** Fills `slope` with the gradient of the divergence between the likenesses and those of the plane. */
function gradient(
  likeness: Float64Array,
  place: Float64Array,
  near: Float64Array,
  slope: Float64Array,
  exaggeration: number,
): void {
  const n = place.length / 2
  let sum = 0
  for (let row = 0; row < n; row += 1) {
    for (let column = 0; column < row; column += 1) {
      const dx = (place[2 * row] ?? 0) - (place[2 * column] ?? 0)
      const dy = (place[2 * row + 1] ?? 0) - (place[2 * column + 1] ?? 0)
      const value = 1 / (1 + dx * dx + dy * dy)
      near[row * n + column] = value
      sum += 2 * value
    }
  }
  slope.fill(0)
  for (let row = 0; row < n; row += 1) {
    for (let column = 0; column < row; column += 1) {
      const value = near[row * n + column] ?? 0
      const pull = 4 * value * (exaggeration * (likeness[row * n + column] ?? 0) - value / sum)
      for (const axis of [0, 1]) {
        const [one, other] = [2 * row + axis, 2 * column + axis]
        const force = pull * ((place[one] ?? 0) - (place[other] ?? 0))
        slope[one] = (slope[one] ?? 0) + force
        slope[other] = (slope[other] ?? 0) - force
      }
    }
  }
}

function dot(one: Float32Array, other: Float32Array): number {
  return one.reduce((sum, value, index) => sum + value * (other[index] ?? 0), 0)
}
