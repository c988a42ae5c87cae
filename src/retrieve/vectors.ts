import { ModelError } from '../errors.ts'

/**
 * The mean of unit vectors, scaled back to length 1, so that an inner product with it is a cosine. The mean left as it is
 * would draw every prompt to the adapters whose samples lie close together.
 * @throws ModelError when there are no vectors, or when they cancel each other out.
 */
export function unitMean(vectors: readonly Float32Array[]): Float32Array {
  const middle = mean(vectors)
  const length = Math.hypot(...middle)
  if (!(length > 1e-6)) {
    throw new ModelError(
      `the vectors of ${vectors.length} samples cancel each other out, so they have no mean direction`,
    )
  }
  return middle.map(value => value / length)
}

/**
 * The mean of vectors.
 * @throws ModelError when there are none, or when their dimensions differ or a value is not finite.
 */
export function mean(vectors: readonly Float32Array[]): Float32Array {
  const [first] = vectors
  if (first === undefined) throw new ModelError('the mean of no vectors was asked for')
  const sum = new Float64Array(first.length)
  for (const vector of vectors) {
    checkVector(vector, first.length, 'a sample')
    for (let index = 0; index < sum.length; index += 1) sum[index] = (sum[index] ?? 0) + (vector[index] ?? 0)
  }
  return Float32Array.from(sum, value => value / vectors.length)
}

/** @throws ModelError when a vector has another dimension than expected, or holds NaN or an infinity. */
export function checkVector(vector: Float32Array, dimension: number, what: string): void {
  if (vector.length !== dimension) {
    throw new ModelError(`the vector of ${what} has ${vector.length} dimensions, expected ${dimension}`)
  }
  for (let at = 0; at < vector.length; at += 1)
    if (!Number.isFinite(vector[at]))
      throw new ModelError(`the vector of ${what} holds ${vector[at]} at ${at}, expected finite numbers`)
}
