import { UnsupportedModelError } from '../errors.ts'
import { float16Table } from './float16.ts'

/** The ways a GGUF tensor's weights may be stored here. */
export type BlockDtype = 'F32' | 'F16' | 'BF16' | 'Q4_1' | 'Q8_0'

/** A dtype and its blocks: so many weights in so many bytes. */
export type BlockFormat = { readonly dtype: BlockDtype; readonly elements: number; readonly bytes: number }

/** ggml's numbers of those formats (`ggml.h`: `enum ggml_type`). */
const FORMATS: ReadonlyMap<number, BlockFormat> = new Map([
  [0, { dtype: 'F32', elements: 1, bytes: 4 }],
  [1, { dtype: 'F16', elements: 1, bytes: 2 }],
  [3, { dtype: 'Q4_1', elements: 32, bytes: 20 }],
  [8, { dtype: 'Q8_0', elements: 32, bytes: 34 }],
  [30, { dtype: 'BF16', elements: 1, bytes: 2 }],
])

/** Names for messages. */
const OTHER_NAMES: ReadonlyMap<number, string> = new Map([
  [2, 'Q4_0'],
  [6, 'Q5_0'],
  [7, 'Q5_1'],
  [9, 'Q8_1'],
  [10, 'Q2_K'],
  [11, 'Q3_K'],
  [12, 'Q4_K'],
  [13, 'Q5_K'],
  [14, 'Q6_K'],
  [15, 'Q8_K'],
  [20, 'IQ4_NL'],
  [23, 'IQ4_XS'],
  [39, 'MXFP4'],
])

/**
 * The format of ggml's number `type`; `where` names the file and the tensor.
 * @throws UnsupportedModelError for every other number.
 */
export function blockFormat(where: string, type: number): BlockFormat {
  const format = FORMATS.get(type)
  if (format !== undefined) return format
  const supported = [...FORMATS.values()].map(({ dtype }) => dtype).join(' ')
  throw new UnsupportedModelError(`${where}: type is ${OTHER_NAMES.get(type) ?? type}, expected one of ${supported}`)
}

/** Q4_1: f16 d, f16 m, 16 bytes q for 32 weights; w[i] = d·(q[i] & 15) + m, w[i + 16] = d·(q[i] >> 4) + m. */
export function widenQ4_1(bytes: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const half = float16Table()
  const blocks = bytes.length / 20
  const out = new Float32Array(blocks * 32)
  for (let block = 0; block < blocks; block++) {
    const from = block * 20
    const to = block * 32
    const d = half[(bytes[from] ?? 0) | ((bytes[from + 1] ?? 0) << 8)] ?? 0
    const m = half[(bytes[from + 2] ?? 0) | ((bytes[from + 3] ?? 0) << 8)] ?? 0
    for (let i = 0; i < 16; i++) {
      const q = bytes[from + 4 + i] ?? 0
      out[to + i] = d * (q & 15) + m
      out[to + 16 + i] = d * (q >> 4) + m
    }
  }
  return out
}

/** Q8_0: f16 d, 32 × int8 q; w = d·q. */
export function widenQ8_0(bytes: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const half = float16Table()
  const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length)
  const blocks = bytes.length / 34
  const out = new Float32Array(blocks * 32)
  for (let block = 0; block < blocks; block++) {
    const from = block * 34
    const d = half[(bytes[from] ?? 0) | ((bytes[from + 1] ?? 0) << 8)] ?? 0
    for (let i = 0; i < 32; i++) out[block * 32 + i] = d * (signed[from + 2 + i] ?? 0)
  }
  return out
}
