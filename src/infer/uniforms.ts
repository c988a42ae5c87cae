/**
 * Uniforms in [0, 1) from a seed (a safe integer, negative ones too): sfc32 (Doty-Humphrey, PractRand), seeded by both
 * halves of the seed and run for twelve rounds before the first number, as its author says.
 */
export function uniforms(seed: number, count: number): Float32Array {
  const high = Math.floor(seed / 2 ** 32)
  let [a, b, c, counter] = [seed | 0, high | 0, 0x9e3779b9 | 0, 1]
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return sum >>> 0
  }
  for (let round = 0; round < WARM_UP; round++) next()
  // 24 bits are what a float32 below 1 can hold exactly.
  return Float32Array.from({ length: count }, () => (next() >>> 8) / 2 ** 24)
}

const WARM_UP = 12
