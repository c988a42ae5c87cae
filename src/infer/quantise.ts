/** Weights that share a scale, along the input axis. */
export const BLOCK = 32

/** The zero point of unsigned 8-bit weights, which MatMulNBits and GatherBlockQuantized take for granted. */
const ZERO_POINT = 128

/** The largest magnitude that a quantised weight has, on either side of zero. */
const LARGEST = 127

/** The name under which a quantised weight's scales are stored. */
export const scalesOf = (name: string): string => `${name}.scales`

/** `values` `[rows, ⌈columns/BLOCK⌉·BLOCK]` around 128, `scales` `[rows, ⌈columns/BLOCK⌉]`. */
export type Quantised = { readonly values: Uint8Array; readonly scales: Float32Array }

/**
 * Symmetric 8-bit blocks: scale = max|w|/127, q = round(w/scale) + 128; the last block of a row is padded with zeros.
 * `weights` is `[rows, columns]`.
 */
export function quantise(weights: Float32Array, columns: number): Quantised {
  const rows = weights.length / columns
  const blocks = Math.ceil(columns / BLOCK)
  const values = new Uint8Array(rows * blocks * BLOCK).fill(ZERO_POINT)
  const scales = new Float32Array(rows * blocks)
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const from = row * columns + block * BLOCK
      const to = Math.min(from + BLOCK, (row + 1) * columns)
      let largest = 0
      for (let i = from; i < to; i++) largest = Math.max(largest, Math.abs(weights[i] ?? 0))
      const place = row * blocks + block
      const scale = largest / LARGEST
      scales[place] = scale
      if (scale === 0) continue
      for (let i = from; i < to; i++)
        values[place * BLOCK + i - from] = Math.round((weights[i] ?? 0) / scale) + ZERO_POINT
    }
  }
  return { values, scales }
}
