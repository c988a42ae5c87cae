import { invert, range, squareMatrix } from './inverse.ts'
import { Steps } from './steps.ts'
import { textRows } from './text-rows.ts'
import { addTo, dotDense, PLACES, type TextVector } from './text-vectors.ts'

/** λ of the ridge, beside kernel values from 0 to 1. */
const RIDGE = 0.1

/** Rows of the kernel's matrix that are made in a step. */
const ROWS_OF_STEP = 16

/** What an adapter asks of a text: an inner product with `values · unit`, each of {@link PLACES} places. */
export type RidgeWeights = { readonly values: Int8Array; readonly unit: number }

/**
 * Kernel ridge regression on text vectors: for every class the least-squares fit of 1 on its own rows and 0 on all others,
 * α = (K + λI)⁻¹·y. One inverse serves all classes, and gives what each row scores where it is left out.
 */
export type Ridge = {
  /** For a class whose rows are among the fit's: y is 1 at `own`. */
  weightsOf(own: readonly number[]): RidgeWeights
  /** For a class whose rows are not: they are added for it alone, by bordering the matrix. */
  weightsFor(rows: readonly TextVector[]): RidgeWeights
  /** `[rows]`: what each row scores for a class, in a fit without that row. */
  leftOut(own: readonly number[]): Float64Array
}

/** Takes an inner product for every two rows and rows³ / 2 multiplications, in steps. */
export function* fitRidge(rows: readonly TextVector[]): Generator<void, Ridge> {
  const size = rows.length
  const all = range(0, size)
  const known = textRows(rows)
  const inverse = squareMatrix(size)
  for (const [row, vector] of rows.entries()) {
    const cells = inverse.row(row)
    cells.set(known.products(vector, row + 1))
    cells[row] = (cells[row] ?? 0) + RIDGE
    if (row % ROWS_OF_STEP === 0) yield
  }
  yield* invert(inverse, size)
  /** For the rows of one class by itself; grows with the largest. */
  let small = squareMatrix(0)

  return {
    weightsOf: own => weighted(new Float64Array(PLACES), rows, alphaOf(own)),
    weightsFor(extra) {
      const count = extra.length
      if (small.length < count) small = squareMatrix(count)
      const dense = new Float64Array(PLACES)
      const solved = extra.map((row, one) => {
        const products = known.products(row, size)
        const solution = inverse.products(products, all)
        addTo(dense, row, 1)
        const cells = small.row(one)
        for (let other = 0; other <= one; other += 1) cells[other] = dotDense(extra[other] ?? row, dense)
        cells[one] = (cells[one] ?? 0) + RIDGE
        for (const id of row.ids) dense[id] = 0
        return { products, solution }
      })
      // The Schur complement of the fit's rows: what the fit does not know of the class's own.
      for (const [one, { products }] of solved.entries()) {
        const cells = small.row(one)
        for (const [other, { solution }] of solved.slice(0, one + 1).entries())
          for (let row = 0; row < size; row += 1)
            cells[other] = (cells[other] ?? 0) - (products[row] ?? 0) * (solution[row] ?? 0)
      }
      new Steps(invert(small, count)).finish()
      const alpha = new Float64Array(size)
      for (const [one, { solution }] of solved.entries()) {
        const own = small
          .row(one)
          .subarray(0, count)
          .reduce((sum, value) => sum + value, 0)
        for (let row = 0; row < size; row += 1) alpha[row] = (alpha[row] ?? 0) - own * (solution[row] ?? 0)
        addTo(dense, extra[one] ?? NOTHING, own)
      }
      return weighted(dense, rows, alpha)
    },
    leftOut(own) {
      const alpha = alphaOf(own)
      const scores = alpha.map((value, row) => -value / (inverse.row(row)[row] ?? 1))
      for (const row of own) scores[row] = (scores[row] ?? 0) + 1
      return scores
    },
  }

  function alphaOf(own: readonly number[]): Float64Array {
    const alpha = new Float64Array(size)
    for (const row of own) {
      const cells = inverse.row(row)
      for (let at = 0; at < size; at += 1) alpha[at] = (alpha[at] ?? 0) + (cells[at] ?? 0)
    }
    return alpha
  }
}

const NOTHING: TextVector = { ids: new Uint16Array(0), values: new Float32Array(0) }

/** `sum` + Σ αⱼ·rowⱼ, rounded to 8 bits: the pool has one for every adapter. */
function weighted(sum: Float64Array, rows: readonly TextVector[], alpha: Float64Array): RidgeWeights {
  for (const [row, vector] of rows.entries()) addTo(sum, vector, alpha[row] ?? 0)
  let largest = 0
  for (let at = 0; at < PLACES; at += 1) largest = Math.max(largest, Math.abs(sum[at] ?? 0))
  const unit = largest === 0 ? 1 : largest / 127
  const values = new Int8Array(PLACES)
  for (let at = 0; at < PLACES; at += 1) values[at] = Math.round((sum[at] ?? 0) / unit)
  return { values, unit }
}
