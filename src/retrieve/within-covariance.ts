import { DenseRows } from './dense-rows.ts'
import { invert, range, squareMatrix, zeroRows } from './inverse.ts'
import { reused } from './reused.ts'
import { Steps } from './steps.ts'
import { checkVector } from './vectors.ts'

/** Where W⁻¹·mean stands among the rows, and ½·meanᵀ·W⁻¹·mean: both of a fit. */
type Gaussian = { readonly precise: number; offset: number; fit: Fit | undefined }

type Class = Gaussian & {
  readonly vectors: readonly Float32Array[]
  readonly mean: Float64Array
  readonly fitted: boolean
}

/** What all adapters share: W⁻¹, and the mean of their means. */
type Fit = {
  readonly inverse: DenseRows<Float64Array>
  readonly axes: readonly number[]
  readonly mean: Float64Array
}

/** Below this all samples of every adapter are one point, and the identity does as well as any covariance. */
const LEAST_VARIANCE = 1e-9

/** Samples whose scatter is added together, so that the time goes into sums and not into calls. Even. */
const SAMPLES_AT_A_TIME = 64

export type CovarianceOptions = {
  /** λ: how much of the mean variance is added in every direction. */
  readonly shrinkage: number
  /** The adapters whose samples make the covariance; by default all. */
  readonly fitOn?: ReadonlySet<string> | undefined
}

/**
 * Adapters as Gaussians of one covariance W + λ·tr(W)/d·I, the pooled covariance of samples around their adapters' means:
 * linear discriminant analysis. Sums are kept, so an adapter that comes or goes costs its own samples; the inverse is
 * made anew at the next question, and each adapter's part of it when it is first asked for.
 */
export class WithinCovariance {
  readonly #options: CovarianceOptions
  readonly #classes = new Map<string, Class>()
  #dimension: number | undefined
  /** Σ rrᵀ over the samples that count, r = x − mean: its lower triangle, without those r that wait to be added. */
  #scatter = new Float64Array(0)
  #pending: Float64Array[] = []
  #count = 0
  #meanSum = new Float64Array(0)
  #fit: Steps<Fit> | undefined
  /** W⁻¹·mean of adapters, and of the mean of their means: in 32 bits, for scores are in nats and a search waits for memory. */
  #rows: DenseRows<Float32Array> | undefined
  #middle: Gaussian | undefined
  readonly #slots = reused(Int32Array)
  readonly #products = reused(Float32Array)
  readonly #offsets = reused(Float64Array)
  /** To work in: what some samples have on an axis, a row for each. */
  #columns: DenseRows<Float64Array> | undefined

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
    const rows = (this.#rows ??= new DenseRows(Float32Array, dimension))
    const entry = { vectors, mean, fitted, ...unfitted(rows) }
    this.#classes.set(key, entry)
    this.#change(entry, 1)
  }

  remove(key: string): void {
    const entry = this.#classes.get(key)
    if (entry === undefined) return
    this.#classes.delete(key)
    this.#rows?.drop(entry.precise)
    this.#change(entry, -1)
  }

  /**
   * How much likelier the vector is from each adapter than from the middle of the pool, in nats:
   * qᵀW⁻¹m − ½mᵀW⁻¹m, less the same of the mean of means.
   * They are in `into`, as long as `keys`; 0 where there is no such adapter.
   * @throws ModelError when the vector has another dimension than the samples, or a value that is not finite.
   */
  scores(
    keys: readonly string[],
    vector: Float32Array,
    into: Float64Array = new Float64Array(keys.length),
  ): Float64Array {
    checkVector(vector, this.#dimension ?? vector.length, 'a query')
    if (this.#rows === undefined) return into.fill(0)
    const [slots, offsets] = [this.#slots(keys.length + 1), this.#offsets(keys.length + 1)]
    for (let at = 0; at <= keys.length; at += 1) {
      const { precise, offset } = this.#gaussian(keys[at], this.#rows)
      slots[at] = precise
      offsets[at] = offset
    }
    // The last is the middle.
    const products = this.#rows.products(vector, slots, this.#products(slots.length))
    const middle = (products[keys.length] ?? 0) - (offsets[keys.length] ?? 0)
    for (let at = 0; at < keys.length; at += 1) into[at] = (products[at] ?? 0) - (offsets[at] ?? 0) - middle
    return into
  }

  /** Does what {@link scores} would, in steps, for all adapters. */
  *prepare(): Generator<void, void> {
    if (this.#rows === undefined) return
    yield* this.#fitting().rest()
    for (const key of this.#classes.keys()) {
      this.#gaussian(key, this.#rows)
      yield
    }
  }

  /**
   * {@link scores} of an adapter's own sample for each of `keys`, in a fit without that sample; none where it is the
   * adapter's only one. Leaving x out of n takes n/(n−1)·rrᵀ, r = x − mean, from the scatter: Sherman and Morrison's
   * formula gives the new inverse. The trace, which sets λ's part, and the number of samples are left as they were.
   */
  heldOutScores(key: string, sample: number, keys: readonly string[]): Float64Array | undefined {
    const entry = this.#classes.get(key)
    const vector = entry?.vectors[sample]
    const rows = this.#rows
    if (entry === undefined || vector === undefined || entry.vectors.length < 2 || rows === undefined) return undefined
    const count = entry.vectors.length
    // The last is the middle.
    const all = [...keys, undefined].map(other => this.#gaussian(other, rows))
    const precise = this.#times(entry.mean)
    const own = this.#times(vector)
    const along = precise.map((value, at) => (own[at] ?? 0) - value)
    const counts = entry.fitted && this.#count > 0 && this.#isKnown()
    const share = counts ? count / (count - 1) / this.#count : 0
    const residual = entry.mean.map((value, at) => (vector[at] ?? 0) - value)
    const gain = share / (1 - share * dot(along, residual))
    const left = dot(along, vector)
    const without = (plain: number, toMean: number): number => plain + gain * (left * toMean - toMean ** 2 / 2)

    // along·mean is residualᵀ·W⁻¹·mean, for which the rows stand ready.
    const slots = all.map(other => other.precise)
    const [products, toMeans] = [rows.products(vector, slots), rows.products(residual, slots)]
    const scores = Float64Array.from(all, (other, at) => {
      if (other !== entry) return without((products[at] ?? 0) - other.offset, toMeans[at] ?? 0)
      const mean = entry.mean.map((value, place) => (value * count - (vector[place] ?? 0)) / (count - 1))
      // W⁻¹ is linear, so that of the mean without the sample needs no further product.
      const rest = precise.map((value, place) => (value * count - (own[place] ?? 0)) / (count - 1))
      return without(dot(rest, vector) - dot(rest, mean) / 2, dot(along, mean))
    })
    const middle = scores[keys.length] ?? 0
    return scores.subarray(0, keys.length).map(score => score - middle)
  }

  #change({ vectors, mean, fitted }: Class, sign: 1 | -1): void {
    const dimension = mean.length
    for (let at = 0; at < dimension; at += 1) this.#meanSum[at] = (this.#meanSum[at] ?? 0) + sign * (mean[at] ?? 0)
    this.#fit = undefined
    if (!fitted) return
    this.#count += sign * vectors.length
    const residuals = vectors.map(vector => mean.map((value, at) => (vector[at] ?? 0) - value))
    if (sign === 1) this.#pending.push(...residuals)
    if (this.#pending.length >= SAMPLES_AT_A_TIME || sign === -1) this.#gather()
    if (sign === -1) this.#addScatter(residuals, sign)
    // An empty pool is exactly empty again, whatever rounding left.
    if (this.#count === 0) {
      this.#scatter.fill(0)
      this.#pending = []
    }
    if (this.#classes.size === 0) this.#meanSum.fill(0)
  }

  /** Brings the scatter up to date. */
  #gather(): void {
    const pending = this.#pending
    this.#pending = []
    this.#addScatter(pending, 1)
  }

  /** Adds rrᵀ of these to the scatter, or takes it away: for every two axes the product of what they have on both. */
  #addScatter(residuals: readonly Float64Array[], sign: 1 | -1): void {
    const dimension = this.#dimension ?? 0
    const axes = range(0, dimension)
    const columns = (this.#columns ??= zeroRows(dimension, SAMPLES_AT_A_TIME))
    for (let first = 0; first < residuals.length; first += SAMPLES_AT_A_TIME) {
      const some = residuals.slice(first, first + SAMPLES_AT_A_TIME)
      for (const axis of axes) {
        const cells = columns.row(axis).fill(0)
        for (let at = 0; at < some.length; at += 1) cells[at] = some[at]?.[axis] ?? 0
      }
      for (const axis of axes) {
        const products = columns.productsOf(axis, 0, SAMPLES_AT_A_TIME, axes.slice(0, axis + 1))
        const start = axis * dimension
        for (let at = 0; at <= axis; at += 1)
          this.#scatter[start + at] = (this.#scatter[start + at] ?? 0) + sign * (products[at] ?? 0)
      }
    }
  }

  /** The mean of the covariance's diagonal. */
  #variance(): number {
    this.#gather()
    const dimension = this.#dimension ?? 0
    let trace = 0
    for (let at = 0; at < dimension; at += 1) trace += this.#scatter[at * dimension + at] ?? 0
    return this.#count === 0 ? 0 : trace / this.#count / dimension
  }

  #isKnown(): boolean {
    return this.#variance() > LEAST_VARIANCE
  }

  #fitting(): Steps<Fit> {
    return (this.#fit ??= new Steps(this.#makeFit(this.#dimension ?? 0)))
  }

  *#makeFit(dimension: number): Generator<void, Fit> {
    const inverse = squareMatrix(dimension)
    const known = this.#isKnown()
    const added = known ? this.#options.shrinkage * this.#variance() : 1
    for (let row = 0; row < dimension; row += 1) {
      const cells = inverse.row(row)
      if (known)
        for (let at = 0; at <= row; at += 1) cells[at] = (this.#scatter[row * dimension + at] ?? 0) / this.#count
      cells[row] = (cells[row] ?? 0) + added
    }
    const mean = this.#meanSum.map(value => value / Math.max(1, this.#classes.size))
    yield* invert(inverse, dimension)
    const axes = range(0, dimension)
    return { inverse, axes, mean }
  }

  /** An adapter with its part of the fit made; the mean of means where there is no such adapter. */
  #gaussian(key: string | undefined, rows: DenseRows<Float32Array>): Gaussian {
    const fit = this.#fitting().finish()
    const entry = key === undefined ? undefined : this.#classes.get(key)
    const gaussian = entry ?? (this.#middle ??= unfitted(rows))
    if (gaussian.fit !== fit) {
      const mean = entry?.mean ?? fit.mean
      const precise = this.#times(mean)
      rows.put(precise, gaussian.precise)
      gaussian.offset = dot(precise, mean) / 2
      gaussian.fit = fit
    }
    return gaussian
  }

  /** W⁻¹·vector. */
  #times(vector: ArrayLike<number>): Float64Array {
    const { inverse, axes } = this.#fitting().finish()
    return inverse.products(vector, axes)
  }
}

const unfitted = (rows: DenseRows<Float32Array>): Gaussian => ({ precise: rows.put([]), offset: 0, fit: undefined })

function dot(one: ArrayLike<number>, other: ArrayLike<number>): number {
  let sum = 0
  for (let at = 0; at < one.length; at += 1) sum += (one[at] ?? 0) * (other[at] ?? 0)
  return sum
}
