import type { ModelConfig } from '../hf/model-config.ts'
import { linearModules } from '../hf/model.ts'
import type { ElementType } from '../onnx/element-types.ts'
import type { Graph, Value } from '../onnx/graph.ts'
import type { Device } from '../onnx/session.ts'
import { BLOCK, scalesOf } from './quantise.ts'
import { transposedProduct, type TransposedProduct } from './transposed-product.ts'

/** A tensor in a file of the weight folder. */
export type StoredTensor = {
  readonly type: ElementType
  readonly shape: readonly number[]
  /** The file, relative to the folder. */
  readonly location: string
  readonly offset: number
  readonly length: number
}

/** Where a session's weights lie; a linear is stored as it is, or quantised with its scales beside it. */
export type StoredWeights = { readonly folder: string; readonly tensors: ReadonlyMap<string, StoredTensor> }

/** A base model's weights in a graph. Modules go by their checkpoint's names. */
export type Weights = {
  /** Rows of the embedding: `[b, t]` to `[b, t, hidden]`. */
  embed(graph: Graph, tokens: Value, module: string): Value
  /**
   * x·Wᵀ + bias of each module, by its name: `[b, t, in]` to `[b, t, out]`. Those that are quantised and stored side by side are one
   * product.
   */
  linears(graph: Graph, x: Value, modules: readonly string[]): ReadonlyMap<string, Value>
  /** Logits `[b, vocabulary]` of hidden states `[b, hidden]`. */
  head(graph: Graph, x: Value): Value
  /** A one-dimensional weight as float32. */
  vector(name: string): Value
  /** How the device multiplies by what lies in rows. */
  readonly rows: TransposedProduct
}

/** Puts the weights into a root graph, by reference; subgraphs of it use them too. */
export type WeightsOf = (root: Graph) => Weights

/** `device` chooses operators that it has kernels for: ONNX Runtime would compute others on the CPU, and not say so. */
export function weightsIn(stored: StoredWeights, config: ModelConfig, device: Device): WeightsOf {
  const modules = linearModules(config)
  return root => {
    const reference = (name: string, tensor = tensorOf(stored, name), shape = tensor.shape): Value => {
      const { type, location, offset, length } = tensor
      const value = root.weight(`${name}:${shape.join('x')}`, type, shape, { location, offset, length })
      // Folded when the session opens: halves are widened once.
      return type === 'float16' || type === 'bfloat16' ? root.node('Cast', [value], { to: FLOAT }) : value
    }
    const vector = (name: string): Value => reference(name)

    const byRows = transposedProduct(device)
    /** Ready for its products: a value for every name, in the root graph. */
    const prepared = new Map<string, Value>()
    const ready = (name: string): Value => {
      const value = prepared.get(name) ?? byRows.prepare(root, reference(name), 2)
      prepared.set(name, value)
      return value
    }

    /** x·Wᵀ of modules that are quantised and stored side by side, as one product; null of others. */
    const quantisedProduct = (graph: Graph, x: Value, names: readonly string[]): Value | null => {
      const weights = names.map(name => `${name}.weight`)
      const values = sideBySide(weights.map(weight => tensorOf(stored, weight)))
      if (values?.type !== 'uint8') return null
      const scales = sideBySide(weights.map(weight => tensorOf(stored, scalesOf(weight))))
      if (scales === null) return null
      const [out = 0, inner = 0] = values.shape
      const blocks = Math.ceil(inner / BLOCK)
      const all = weights.join('+')
      return graph.node(
        'com.microsoft::MatMulNBits',
        [x, reference(all, values, [out, blocks, BLOCK]), reference(scalesOf(all), scales, [out * blocks])],
        {
          // Without the padding of the last block.
          K: modules.get(names[0] ?? '')?.in ?? config.hidden,
          N: out,
          bits: 8,
          block_size: BLOCK,
          // int8 arithmetic; level 0 would dequantise everything at every step.
          accuracy_level: 4,
        },
      )
    }

    const product = (graph: Graph, x: Value, module: string): Value =>
      quantisedProduct(graph, x, [module]) ?? byRows.times(graph, x, ready(`${module}.weight`))

    /**
     * q, k and v at once, where they lie so. k and v are so narrow that a product's own cost counts: a window of 16 × (64 + 32)
     * tokens without adapters takes 4 to 5 % less time than with the three apart.
     */
    const products = (graph: Graph, x: Value, names: readonly string[]): readonly Value[] => {
      const joined = names.length > 1 ? quantisedProduct(graph, x, names) : null
      if (joined === null) return names.map(name => product(graph, x, name))
      const widths = names.map(name => tensorOf(stored, `${name}.weight`).shape[0] ?? 0)
      return graph.nodes('Split', [joined, graph.constant('int64', widths)], { axis: -1 }, names.length)
    }

    return {
      vector,
      rows: byRows,
      linears(graph, x, names) {
        const all = products(graph, x, names)
        return new Map(
          names.map((name, place) => {
            const [y, bias] = [all[place], `${name}.bias`]
            if (y === undefined) throw new Error(`${name} got no product: ${all.length} for ${names.length} modules`)
            return [name, stored.tensors.has(bias) ? graph.node('Add', [y, vector(bias)]) : y]
          }),
        )
      },
      head: (graph, x) => product(graph, x, config.tied ? EMBEDDING : 'lm_head'),
      embed(graph, tokens, module) {
        const name = `${module}.weight`
        if (tensorOf(stored, name).type !== 'uint8') return graph.node('Gather', [reference(name), tokens], { axis: 0 })
        const rows = graph.node(
          'com.microsoft::GatherBlockQuantized',
          [reference(name), tokens, reference(scalesOf(name))],
          { bits: 8, block_size: BLOCK, gather_axis: 0, quantize_axis: 1 },
        )
        if (config.hidden % BLOCK === 0) return rows
        // Without the padding of the last block.
        const [start, end, axis] = [0, config.hidden, 2].map(value => graph.constant('int64', [value], [1]))
        return graph.node('Slice', [rows, start ?? null, end ?? null, axis ?? null])
      },
    }
  }
}

/** Matrices of one width that follow each other in a file, as one of all their rows; null where they do not. */
function sideBySide([first, ...others]: readonly StoredTensor[]): StoredTensor | null {
  if (first === undefined) return null
  let joined = first
  for (const next of others) {
    const [rows = 0, width] = joined.shape
    const follows = next.location === joined.location && next.offset === joined.offset + joined.length
    if (!follows || next.type !== joined.type || next.shape[1] !== width) return null
    joined = { ...joined, shape: [rows + (next.shape[0] ?? 0), width ?? 0], length: joined.length + next.length }
  }
  return joined
}

function tensorOf({ tensors }: StoredWeights, name: string): StoredTensor {
  const found = tensors.get(name)
  if (found === undefined) throw new Error(`no weight ${name}`)
  return found
}

const EMBEDDING = 'model.embed_tokens'

/** TensorProto.DataType.FLOAT */
const FLOAT = 1
