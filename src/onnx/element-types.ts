/** The element types that we use, with TensorProto.DataType's numbers. */
export const elementType = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  bfloat16: 16,
} as const

export type ElementType = keyof typeof elementType

export type TypedData = Float32Array | Int32Array | BigInt64Array | Uint8Array | Int16Array

/** The little-endian bytes of a constant's elements. */
export function bytesOf(type: ElementType, data: readonly number[] | TypedData): Uint8Array {
  const typed = Array.isArray(data) ? typedFrom(type, data) : data
  if (!ArrayBuffer.isView(typed)) throw new Error(`constants of type ${type} take a typed array`)
  return new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength)
}

function typedFrom(type: ElementType, data: readonly number[]): TypedData {
  switch (type) {
    case 'float32':
      return Float32Array.from(data)
    case 'int32':
      return Int32Array.from(data)
    case 'int16':
      return Int16Array.from(data)
    case 'int64':
      return BigInt64Array.from(data, BigInt)
    case 'bool':
    case 'uint8':
      return Uint8Array.from(data)
    default:
      throw new Error(`constants of type ${type} take a typed array`)
  }
}
