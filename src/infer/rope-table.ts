import { ropeInverseFrequencies, type ModelConfig } from '../hf/model-config.ts'
import type { TensorData } from '../onnx/session.ts'

/** Cosines and sines of every position up to `count`, float32 `[count, headDim/2]` both. */
export type RopeTable = (count: number) => { readonly cos: TensorData; readonly sin: TensorData }

/** Keeps the longest table that was asked for. */
export function ropeTable(config: ModelConfig): RopeTable {
  const frequencies = ropeInverseFrequencies(config)
  const half = frequencies.length
  let cos = new Float32Array(0)
  let sin = new Float32Array(0)
  return count => {
    if (cos.length < count * half) {
      cos = Float32Array.from({ length: count * half }, (_, i) => Math.cos(angle(i)))
      sin = Float32Array.from({ length: count * half }, (_, i) => Math.sin(angle(i)))
    }
    const dims = [count, half]
    const part = (values: Float32Array): TensorData => ({
      type: 'float32',
      data: values.subarray(0, count * half),
      dims,
    })
    return { cos: part(cos), sin: part(sin) }
  }

  /** In float32, as transformers multiplies. */
  function angle(i: number): number {
    return Math.fround(Math.floor(i / half) * (frequencies[i % half] ?? 0))
  }
}
