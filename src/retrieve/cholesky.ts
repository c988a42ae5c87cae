/**
 * The lower triangle L of A = L·Lᵀ, row by row in a square of side `size`; what stands above the diagonal of the result
 * means nothing. `a` is symmetric and positive definite, its lower triangle is read and overwritten. A pivot that rounding
 * took to zero or below counts as `floor`, so that the result is always finite.
 */
export function cholesky(a: Float64Array, size: number, floor = 1e-12): Float64Array {
  for (let row = 0; row < size; row += 1) {
    const start = row * size
    for (let column = 0; column < row; column += 1) {
      const rest = (a[start + column] ?? 0) - dot(a, start, a, column * size, column)
      a[start + column] = rest / (a[column * size + column] ?? 1)
    }
    const pivot = (a[start + row] ?? 0) - dot(a, start, a, start, row)
    a[start + row] = Math.sqrt(Math.max(pivot, floor))
  }
  return a
}

/** Solves L·x = b in the place of `b`. */
export function solveLower(l: Float64Array, size: number, b: Float64Array): Float64Array {
  for (let row = 0; row < size; row += 1) {
    b[row] = ((b[row] ?? 0) - dot(l, row * size, b, 0, row)) / (l[row * size + row] ?? 1)
  }
  return b
}

/** Solves Lᵀ·x = b in the place of `b`. */
export function solveUpper(l: Float64Array, size: number, b: Float64Array): Float64Array {
  for (let row = size - 1; row >= 0; row -= 1) {
    const start = row * size
    const value = (b[row] ?? 0) / (l[start + row] ?? 1)
    b[row] = value
    // Down a row of L instead of a column: memory in order.
    if (value !== 0) for (let at = 0; at < row; at += 1) b[at] = (b[at] ?? 0) - value * (l[start + at] ?? 0)
  }
  return b
}

/** The diagonal of A⁻¹, `[size]`, from the factor of A. */
export function inverseDiagonal(l: Float64Array, size: number): Float64Array {
  const diagonal = new Float64Array(size)
  const column = new Float64Array(size)
  for (let unit = 0; unit < size; unit += 1) {
    // A column of L⁻¹ begins at its unit; the diagonal is the sum of its squares.
    column[unit] = 1 / (l[unit * size + unit] ?? 1)
    let sum = (column[unit] ?? 0) ** 2
    for (let row = unit + 1; row < size; row += 1) {
      const value = -dot(l, row * size + unit, column, unit, row - unit) / (l[row * size + row] ?? 1)
      column[row] = value
      sum += value * value
    }
    diagonal[unit] = sum
  }
  return diagonal
}

/** Σ a·b over `count` places. Four sums side by side do not wait for each other. */
export function dot(a: Float64Array, aStart: number, b: Float64Array, bStart: number, count: number): number {
  let first = 0
  let second = 0
  let third = 0
  let fourth = 0
  let at = 0
  for (; at + 3 < count; at += 4) {
    first += (a[aStart + at] ?? 0) * (b[bStart + at] ?? 0)
    second += (a[aStart + at + 1] ?? 0) * (b[bStart + at + 1] ?? 0)
    third += (a[aStart + at + 2] ?? 0) * (b[bStart + at + 2] ?? 0)
    fourth += (a[aStart + at + 3] ?? 0) * (b[bStart + at + 3] ?? 0)
  }
  for (; at < count; at += 1) first += (a[aStart + at] ?? 0) * (b[bStart + at] ?? 0)
  return first + second + third + fourth
}
