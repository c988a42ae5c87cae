import type { NumbersType } from './row-memory.ts'

/**
 * Arrays to work in that leave nothing to collect: searches come by the window, and arrays of their own would have the
 * collector stop one window in twenty. Each call gives the same memory again, as long as asked for, or longer memory of zeros
 * where it was too short: whoever was given it before must be done with it.
 */
export function reused<Numbers extends Float32Array | Float64Array | Uint16Array | Int32Array>(
  Type: NumbersType<Numbers>,
): (length: number) => Numbers {
  let whole = new Type(0)
  let last = whole
  return length => {
    if (length > whole.length) last = whole = new Type(Math.max(length, 2 * whole.length))
    if (length !== last.length) last = new Type(whole.buffer, 0, length)
    return last
  }
}
