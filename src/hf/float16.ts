let values: Float32Array | undefined

/** Every IEEE 754 binary16 as float32, by its bits: 256 KB, made on first use. */
export function float16Table(): Float32Array {
  values ??= Float32Array.from({ length: 65_536 }, (_, bits) => toNumber(bits))
  return values
}

function toNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}
