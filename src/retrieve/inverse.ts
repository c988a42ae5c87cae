import { DenseRows } from './dense-rows.ts'

/** Columns that are worked off together: rows of so many columns before them stay in the processor's cache. Even. */
const BLOCK = 32

/** A pivot that rounding took to zero or below counts as this, so that every inverse is finite. */
const LEAST_PIVOT = 1e-12

/** Zeros, and room to {@link invert} as many rows as there are columns, or fewer. */
export function squareMatrix(size: number): DenseRows<Float64Array> {
  return zeroRows(2 * size, size)
}

/** So many rows of zeros, at the slots from 0 on. */
export function zeroRows(count: number, length: number): DenseRows<Float64Array> {
  const rows = new DenseRows(Float64Array, length)
  for (let row = 0; row < count; row += 1) rows.put([])
  return rows
}

/**
 * Inverts A, symmetric and positive definite: its lower triangle stands in the first `size` rows of a {@link squareMatrix},
 * which hold A⁻¹ afterwards, all of it. A = L·Lᵀ, T = L⁻ᵀ row by row, A⁻¹ = T·Tᵀ, in
 * `size`³ / 2 multiplications and steps of at most `size`² · {@link BLOCK}.
 */
export function* invert(matrix: DenseRows<Float64Array>, size: number): Generator<void, void> {
  const rows = Array.from({ length: 2 * size }, (_, slot) => matrix.row(slot))
  for (const [at, row] of rows.slice(size).entries()) row.fill(0).fill(1, at, at + 1)
  const blocks = Array.from({ length: Math.ceil(size / BLOCK) }, (_, at) => {
    const start = at * BLOCK
    return { start, end: Math.min(size, start + BLOCK) }
  })

  // L, and below it T: solving L·x = b is what one more row of the factor takes.
  for (const { start, end } of blocks) {
    const slots = range(start, end)
    for (let slot = start; slot < size + end; slot += 1) {
      // A row of T begins with zeros.
      const first = slot < size ? 0 : Math.min(start, even(slot - size))
      solve(rows, slot, start, matrix.productsOf(slot, first, start, slots))
    }
    yield
  }

  for (const { start, end } of blocks) {
    const slots = range(size + start, size + end)
    for (let at = start; at < size; at += 1)
      mirror(rows, at, start, matrix.productsOf(size + at, even(at), size, slots))
    yield
  }
}

/** The next places of a row of L or T, from `start` on, where `products` with the rows of L are those of the places before. */
function solve(rows: readonly Float64Array[], slot: number, start: number, products: Float64Array): void {
  const row = rows[slot] ?? products
  const end = Math.min(start + products.length, slot + 1)
  for (let column = start; column < end; column += 1) {
    const other = rows[column] ?? row
    let rest = (row[column] ?? 0) - (products[column - start] ?? 0)
    for (let at = start; at < column; at += 1) rest -= (row[at] ?? 0) * (other[at] ?? 0)
    row[column] = column === slot ? Math.sqrt(Math.max(rest, LEAST_PIVOT)) : rest / (other[column] ?? 1)
  }
}

/** Places of a row from `start` to its diagonal, and the same of the column. */
function mirror(rows: readonly Float64Array[], at: number, start: number, values: Float64Array): void {
  const row = rows[at] ?? values
  for (let column = start; column < start + values.length && column <= at; column += 1) {
    const [value, other] = [values[column - start] ?? 0, rows[column] ?? row]
    row[column] = value
    other[at] = value
  }
}

/** The whole numbers from `start` to before `end`. */
export const range = (start: number, end: number): readonly number[] =>
  Array.from({ length: end - start }, (_, at) => start + at)

/** The even number at it or before it: two places are a register. */
const even = (place: number): number => place - (place % 2)
