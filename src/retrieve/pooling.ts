import { ModelError } from '../errors.ts'

/** How the vectors of a text's tokens become one: their mean, the first one, or the largest value in each dimension. */
export type PoolingMode = 'mean' | 'cls' | 'max'

/** Hidden states of a batch, row-major `[rows, width, dimension]`: the first tokens of a row are its own, the rest padding. */
export type HiddenStates = {
  readonly data: Float32Array
  readonly width: number
  readonly dimension: number
}

/**
 * The unit vector of one row, from its own `length` tokens alone.
 * @throws ModelError when it has no direction, or is not finite.
 */
export function poolRow(states: HiddenStates, row: number, length: number, mode: PoolingMode): Float32Array {
  const { data, width, dimension } = states
  const start = row * width * dimension
  const tokens = mode === 'cls' ? 1 : length
  // In double precision, so that a text's vector does not depend on the order of summation.
  const pooled = Float64Array.from(data.subarray(start, start + dimension))
  for (let token = 1; token < tokens; token += 1) {
    const at = start + token * dimension
    for (let index = 0; index < dimension; index += 1) {
      const value = data[at + index] ?? 0
      const before = pooled[index] ?? 0
      pooled[index] = mode === 'max' ? Math.max(before, value) : before + value
    }
  }
  const norm = Math.sqrt(pooled.reduce((sum, value) => sum + value * value, 0))
  if (!(norm > 0 && norm < Infinity)) {
    throw new ModelError(`the encoder gave a vector of length ${norm}, expected a finite one with a direction`)
  }
  return Float32Array.from(pooled, value => value / norm)
}
