/** A value for a key of a GGUF file, with the type that it is written as. */
export type Value =
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly u64: bigint }
  | { readonly bool: boolean }
  | { readonly string: string }
  | { readonly strings: readonly string[] }
  | { readonly i32s: readonly number[] }

export type Tensor = {
  readonly name: string
  /** ggml's number of the format. */
  readonly type: number
  /** Row-major. */
  readonly shape: readonly number[]
  readonly data: Uint8Array
  /** In place of the next free one. */
  readonly offset?: number
}

/** A GGUF file, version 3, of these keys and tensors. */
export function ggufBytes(keys: Readonly<Record<string, Value>>, tensors: readonly Tensor[], alignment = 32): Buffer {
  const parts: Buffer[] = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(Object.keys(keys).length)]
  for (const [key, value] of Object.entries(keys)) parts.push(string(key), ...valueBytes(value))
  let next = 0
  for (const { name, type, shape, data, offset } of tensors) {
    parts.push(string(name), u32(shape.length), ...shape.toReversed().map(u64), u32(type), u64(offset ?? next))
    next = Math.ceil((next + data.length) / alignment) * alignment
  }
  const header = Buffer.concat(parts)
  return Buffer.concat([padded(header, alignment), ...tensors.map(({ data }) => padded(data, alignment))])
}

function valueBytes(value: Value): Buffer[] {
  if ('u32' in value) return [u32(4), u32(value.u32)]
  if ('f32' in value) return [u32(6), Buffer.from(Float32Array.of(value.f32).buffer)]
  if ('u64' in value) return [u32(10), u64(value.u64)]
  if ('bool' in value) return [u32(7), Buffer.of(value.bool ? 1 : 0)]
  if ('string' in value) return [u32(8), string(value.string)]
  if ('strings' in value) return [u32(9), u32(8), u64(value.strings.length), Buffer.concat(value.strings.map(string))]
  return [u32(9), u32(5), u64(value.i32s.length), Buffer.from(Int32Array.from(value.i32s).buffer)]
}

function padded(bytes: Uint8Array, alignment: number): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((alignment - (bytes.length % alignment)) % alignment)])
}

function string(text: string): Buffer {
  return Buffer.concat([u64(Buffer.byteLength(text)), Buffer.from(text)])
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
