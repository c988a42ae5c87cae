import { cholesky, dot, inverseDiagonal, solveLower, solveUpper } from './cholesky.ts'
import { addTo, dotDense, PLACES, type TextVector } from './text-vectors.ts'

/** λ of the ridge, beside kernel values from 0 to 1. */
const RIDGE = 0.1

/** What an adapter asks of a text: an inner product with `values · unit`, each of {@link PLACES} places. */
export type RidgeWeights = { readonly values: Int8Array; readonly unit: number }

/**
 * Kernel ridge regression on text vectors: for every class the least-squares fit of 1 on its own rows and 0 on all others,
 * α = (K + λI)⁻¹·y. One factor serves all classes, and gives what each row scores where it is left out.
 */
export type Ridge = {
  /** For a class whose rows are among the fit's: y is 1 at `own`. */
  weightsOf(own: readonly number[]): RidgeWeights
  /** For a class whose rows are not: they are added for it alone, by bordering the factor. */
  weightsFor(rows: readonly TextVector[]): RidgeWeights
  /** `[classes][rows]`: what each row scores for each class, in a fit without that row. */
  leftOut(classes: readonly (readonly number[])[]): readonly Float64Array[]
}

/** Takes rows² / 2 inner products and rows³ / 6 steps. */
export function fitRidge(rows: readonly TextVector[]): Ridge {
  const size = rows.length
  const dense = new Float64Array(PLACES)
  const factor = cholesky(gram(), size)

  return {
    weightsOf: own => weighted(new Float64Array(PLACES), rows, alphaOf(own)),
    weightsFor(extra) {
      const count = extra.length
      const borders = extra.map(row => solveLower(factor, size, withRows(row)))
      const schur = new Float64Array(count * count)
      for (const [one, row] of extra.entries()) {
        addTo(dense, row, 1)
        for (let other = 0; other <= one; other += 1) {
          const both = dotDense(extra[other] ?? row, dense) + (other === one ? RIDGE : 0)
          schur[one * count + other] = both - dot(borders[one] ?? dense, 0, borders[other] ?? dense, 0, size)
        }
        for (const id of row.ids) dense[id] = 0
      }
      const small = cholesky(schur, count)
      const own = solveUpper(small, count, solveLower(small, count, new Float64Array(count).fill(1)))
      const rest = new Float64Array(size)
      for (const [at, border] of borders.entries())
        for (let row = 0; row < size; row += 1) rest[row] = (rest[row] ?? 0) - (own[at] ?? 0) * (border[row] ?? 0)
      const sum = new Float64Array(PLACES)
      for (const [at, row] of extra.entries()) addTo(sum, row, own[at] ?? 0)
      return weighted(sum, rows, solveUpper(factor, size, rest))
    },
    leftOut(classes) {
      const inverse = inverseDiagonal(factor, size)
      return classes.map(own => {
        const alpha = alphaOf(own)
        const target = targetOf(own)
        return alpha.map((value, row) => (target[row] ?? 0) - value / (inverse[row] ?? 1))
      })
    },
  }

  /** K + λI, its lower triangle. Feature by feature: two texts share a quarter of what either has. */
  function gram(): Float64Array {
    const matrix = new Float64Array(size * size)
    const having = new Map<number, { readonly rows: number[]; readonly values: number[] }>()
    for (const [row, { ids, values }] of rows.entries()) {
      const start = row * size
      for (const [at, id] of ids.entries()) {
        const value = values[at] ?? 0
        const found = having.get(id) ?? { rows: [], values: [] }
        if (found.rows.length === 0) having.set(id, found)
        found.rows.push(row)
        found.values.push(value)
        for (let place = 0; place < found.rows.length; place += 1) {
          const cell = start + (found.rows[place] ?? 0)
          matrix[cell] = (matrix[cell] ?? 0) + value * (found.values[place] ?? 0)
        }
      }
      matrix[start + row] = (matrix[start + row] ?? 0) + RIDGE
    }
    return matrix
  }

  function withRows(vector: TextVector): Float64Array {
    addTo(dense, vector, 1)
    const products = Float64Array.from(rows, row => dotDense(row, dense))
    for (const id of vector.ids) dense[id] = 0
    return products
  }

  function targetOf(own: readonly number[]): Float64Array {
    const target = new Float64Array(size)
    for (const row of own) target[row] = 1
    return target
  }

  function alphaOf(own: readonly number[]): Float64Array {
    return solveUpper(factor, size, solveLower(factor, size, targetOf(own)))
  }
}

/** `sum` + Σ αⱼ·rowⱼ, rounded to 8 bits: the pool has one for every adapter. */
function weighted(sum: Float64Array, rows: readonly TextVector[], alpha: Float64Array): RidgeWeights {
  for (const [row, vector] of rows.entries()) addTo(sum, vector, alpha[row] ?? 0)
  const largest = sum.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  const unit = largest === 0 ? 1 : largest / 127
  return { values: Int8Array.from(sum, value => Math.round(value / unit)), unit }
}
