import { cholesky, dot, solveLower, solveUpper } from './cholesky.ts'
import { checkVector } from './vectors.ts'

/** An adapter as a Gaussian sees it. `precise` is W⁻¹·mean, `offset` ½·meanᵀ·W⁻¹·mean, both of fit number `fit`. */
type Class = {
  readonly vectors: readonly Float32Array[]
  readonly mean: Float64Array
  readonly fitted: boolean
  fit: number
  precise: Float64Array
  offset: number
}

/** Below this all samples of every adapter are one point, and the identity does as well as any covariance. */
const LEAST_VARIANCE = 1e-9

export type CovarianceOptions = {
  /** λ: how much of the mean variance is added in every direction. */
  readonly shrinkage: number
  /** The adapters whose samples make the covariance; by default all. */
  readonly fitOn?: ReadonlySet<string> | undefined
}

/**
 * Adapters as Gaussians of one covariance W + λ·tr(W)/d·I, the pooled covariance of samples around their adapters' means:
 * linear discriminant analysis. Sums are kept, so an adapter that comes or goes costs its own samples; the factor is
 * made anew at the next question, and each adapter's part of it when it is first asked for.
 */
export class WithinCovariance {
  readonly #options: CovarianceOptions
  readonly #classes = new Map<string, Class>()
  #dimension: number | undefined
  /** Σ (x − mean)(x − mean)ᵀ over the samples that count, its lower triangle. */
  #scatter = new Float64Array(0)
  #count = 0
  #meanSum = new Float64Array(0)
  #fit = 0
  #factor: Float64Array | undefined
  #centre: Float64Array = new Float64Array(0)
  #centreOffset = 0

  constructor(options: CovarianceOptions) {
    this.#options = options
  }

  /** @throws ModelError when a vector has another dimension than those before, or a value that is not finite. */
  add(key: string, vectors: readonly Float32Array[]): void {
    const [first] = vectors
    if (first === undefined) return
    const dimension = this.#dimension ?? first.length
    for (const vector of vectors) checkVector(vector, dimension, `a sample of "${key}"`)
    this.remove(key)
    if (this.#dimension === undefined) {
      this.#dimension = dimension
      this.#scatter = new Float64Array(dimension * dimension)
      this.#meanSum = new Float64Array(dimension)
    }
    const mean = new Float64Array(dimension)
    for (const vector of vectors)
      for (let at = 0; at < dimension; at += 1) mean[at] = (mean[at] ?? 0) + (vector[at] ?? 0) / vectors.length
    const fitted = this.#options.fitOn?.has(key) ?? true
    const entry = { vectors, mean, fitted, fit: -1, precise: new Float64Array(0), offset: 0 }
    this.#classes.set(key, entry)
    this.#change(entry, 1)
  }

  remove(key: string): void {
    const entry = this.#classes.get(key)
    if (entry === undefined) return
    this.#classes.delete(key)
    this.#change(entry, -1)
  }

  /**
   * How much likelier the vector is from the adapter than from the middle of the pool, in nats:
   * qᵀW⁻¹m − ½mᵀW⁻¹m, less the same of the mean of means.
   */
  score(key: string, vector: Float64Array, middle: number): number {
    const entry = this.#classes.get(key)
    if (entry === undefined) return 0
    this.#prepare(entry)
    return dot(entry.precise, 0, vector, 0, vector.length) - entry.offset - middle
  }

  /**
   * A query as the other methods take it.
   * @throws ModelError when it has another dimension than the samples, or a value that is not finite.
   */
  query(vector: Float32Array): Float64Array {
    checkVector(vector, this.#dimension ?? vector.length, 'a query')
    return Float64Array.from(vector)
  }

  /** Makes an adapter's part of the fit, which {@link score} would. */
  prepare(key: string): void {
    const entry = this.#classes.get(key)
    if (entry !== undefined) this.#prepare(entry)
  }

  /** What {@link score} subtracts for a query: the same for all adapters. */
  middle(vector: Float64Array): number {
    this.#refresh()
    return this.#centre.length === 0 ? 0 : dot(this.#centre, 0, vector, 0, vector.length) - this.#centreOffset
  }

  /**
   * {@link score} of an adapter's own sample for each of `keys`, in a fit without that sample; none where it is the
   * adapter's only one. Leaving x out of n takes n/(n−1)·rrᵀ, r = x − mean, from the scatter: Sherman and Morrison's
   * formula gives the new inverse. The trace, which sets λ's part, and the number of samples are left as they were.
   */
  heldOutScores(key: string, sample: number, keys: readonly string[]): Float64Array | undefined {
    const entry = this.#classes.get(key)
    const found = entry?.vectors[sample]
    if (entry === undefined || found === undefined || entry.vectors.length < 2) return undefined
    const vector = Float64Array.from(found)
    this.#prepare(entry)
    const count = entry.vectors.length
    const { precise: own } = this.#precise(vector)
    const along = entry.precise.map((value, at) => (own[at] ?? 0) - value)
    const counts = entry.fitted && this.#count > 0 && this.#isKnown()
    const share = counts ? count / (count - 1) / this.#count : 0
    const residual = entry.mean.map((value, at) => (vector[at] ?? 0) - value)
    const size = vector.length
    const gain = share / (1 - share * dot(along, 0, residual, 0, size))
    const left = dot(along, 0, vector, 0, size)
    const scoreOf = (plain: number, mean: Float64Array): number => {
      const along1 = dot(along, 0, mean, 0, size)
      return plain + gain * (left * along1 - along1 ** 2 / 2)
    }

    const centre = this.#meanSum.map(value => value / this.#classes.size)
    const middle = scoreOf(this.middle(vector), centre)
    return Float64Array.from(keys, other => {
      if (other !== key) {
        const stranger = this.#classes.get(other)
        return stranger === undefined ? 0 : scoreOf(this.score(other, vector, 0), stranger.mean) - middle
      }
      const mean = entry.mean.map((value, at) => (value * count - (vector[at] ?? 0)) / (count - 1))
      // W⁻¹ is linear, so that of the mean without the sample needs no solving.
      const precise = entry.precise.map((value, at) => (value * count - (own[at] ?? 0)) / (count - 1))
      return scoreOf(dot(precise, 0, vector, 0, size) - dot(precise, 0, mean, 0, size) / 2, mean) - middle
    })
  }

  #change({ vectors, mean, fitted }: Class, sign: 1 | -1): void {
    const dimension = mean.length
    for (let at = 0; at < dimension; at += 1) this.#meanSum[at] = (this.#meanSum[at] ?? 0) + sign * (mean[at] ?? 0)
    this.#factor = undefined
    if (!fitted) return
    this.#count += sign * vectors.length
    const residual = new Float64Array(dimension)
    for (const vector of vectors) {
      for (let at = 0; at < dimension; at += 1) residual[at] = (vector[at] ?? 0) - (mean[at] ?? 0)
      for (let row = 0; row < dimension; row += 1) {
        const factor = sign * (residual[row] ?? 0)
        const start = row * dimension
        for (let at = 0; at <= row; at += 1)
          this.#scatter[start + at] = (this.#scatter[start + at] ?? 0) + factor * (residual[at] ?? 0)
      }
    }
    // An empty pool is exactly empty again, whatever rounding left.
    if (this.#count === 0) this.#scatter.fill(0)
    if (this.#classes.size === 0) this.#meanSum.fill(0)
  }

  /** The mean of the covariance's diagonal. */
  #variance(): number {
    const dimension = this.#dimension ?? 0
    let trace = 0
    for (let at = 0; at < dimension; at += 1) trace += this.#scatter[at * dimension + at] ?? 0
    return this.#count === 0 ? 0 : trace / this.#count / dimension
  }

  #isKnown(): boolean {
    return this.#variance() > LEAST_VARIANCE
  }

  #refresh(): void {
    if (this.#factor !== undefined || this.#dimension === undefined) return
    const dimension = this.#dimension
    const variance = this.#variance()
    const matrix = new Float64Array(dimension * dimension)
    const known = this.#isKnown()
    if (known) for (let at = 0; at < matrix.length; at += 1) matrix[at] = (this.#scatter[at] ?? 0) / this.#count
    for (let at = 0; at < dimension; at += 1) {
      const diagonal = at * dimension + at
      matrix[diagonal] = (matrix[diagonal] ?? 0) + (known ? this.#options.shrinkage * variance : 1)
    }
    this.#factor = cholesky(matrix, dimension)
    this.#fit += 1
    const size = Math.max(1, this.#classes.size)
    const { precise, offset } = this.#precise(this.#meanSum.map(value => value / size))
    this.#centre = precise
    this.#centreOffset = offset
  }

  #prepare(entry: Class): void {
    this.#refresh()
    if (entry.fit === this.#fit) return
    const { precise, offset } = this.#precise(entry.mean)
    entry.fit = this.#fit
    entry.precise = precise
    entry.offset = offset
  }

  #precise(mean: Float64Array): { readonly precise: Float64Array; readonly offset: number } {
    this.#refresh()
    const factor = this.#factor ?? new Float64Array(0)
    const precise = solveUpper(factor, mean.length, solveLower(factor, mean.length, Float64Array.from(mean)))
    return { precise, offset: dot(precise, 0, mean, 0, mean.length) / 2 }
  }
}
