import type { Graph, Value } from '../onnx/graph.ts'
import type { Device } from '../onnx/session.ts'

/**
 * x·Wᵀ of a W that lies in rows, `[…, out, in]`. `prepare` it once, in the graph of which it is a value; `times` may then be
 * asked for in every subgraph.
 */
export type TransposedProduct = {
  /** `rank` is W's number of axes. */
  readonly prepare: (graph: Graph, rows: Value, rank: number) => Value
  /** `[…, t, in]` to `[…, t, out]`; leading axes broadcast. */
  readonly times: (graph: Graph, x: Value, prepared: Value) => Value
}

/** Without a transposed copy, but on WebGPU, which has no FusedMatMul: ONNX Runtime would compute it on the CPU, and not say so. */
export function transposedProduct(device: Device): TransposedProduct {
  if (device !== 'webgpu') {
    return {
      prepare: (_, rows) => rows,
      times: (graph, x, rows) => graph.node('com.microsoft::FusedMatMul', [x, rows], { transB: 1 }),
    }
  }
  return {
    prepare(graph, rows, rank) {
      const axes = Array.from({ length: rank }, (_, axis) => axis)
      return graph.node('Transpose', [rows], { perm: [...axes.slice(0, -2), rank - 1, rank - 2] })
    },
    times: (graph, x, columns) => graph.node('MatMul', [x, columns]),
  }
}
