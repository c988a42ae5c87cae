import assert from 'node:assert/strict'
import { test } from 'node:test'
import { invert, squareMatrix } from '../../src/retrieve/inverse.ts'
import { Steps } from '../../src/retrieve/steps.ts'
import { uniforms } from '../contracts/vector-index.ts'

/** XᵀX + I/2 of random X: symmetric, positive definite. */
function positive(size: number, seed: number): readonly (readonly number[])[] {
  const random = uniforms(seed)
  const roots = Array.from({ length: size }, () => Array.from({ length: size }, () => random() - 0.5))
  return roots.map((one, row) =>
    roots.map((other, column) =>
      one.reduce((sum, value, at) => sum + value * (other[at] ?? 0), row === column ? 0.5 : 0),
    ),
  )
}

test('a matrix times its inverse is the identity, whatever its size, also where a larger one stood before', () => {
  const shared = squareMatrix(67)
  for (const size of [67, 66, 33, 32, 31, 5, 2, 1])
    for (const matrix of [shared, squareMatrix(size)]) {
      const a = positive(size, size)
      for (const [row, cells] of a.entries()) matrix.row(row).set(cells.slice(0, row + 1))
      new Steps(invert(matrix, size)).finish()
      for (let row = 0; row < size; row += 1)
        for (const [column, cells] of a.entries()) {
          const product = cells.reduce((sum, value, at) => sum + value * (matrix.row(row)[at] ?? NaN), 0)
          const wanted = row === column ? 1 : 0
          assert.ok(Math.abs(product - wanted) < 1e-9, `${size}: row ${row}, column ${column}: ${product}`)
        }
    }
})

test('a matrix that is not positive definite has a finite inverse', () => {
  for (const [size, cells] of [
    [2, [1, 1, 1]],
    [3, [0, 0, 0, 0, 0, 0]],
  ] as const) {
    const matrix = squareMatrix(size)
    let next = 0
    for (let row = 0; row < size; row += 1) {
      matrix.row(row).set(cells.slice(next, next + row + 1))
      next += row + 1
    }
    new Steps(invert(matrix, size)).finish()
    for (let row = 0; row < size; row += 1) assert.ok(matrix.row(row).every(Number.isFinite))
  }
})
