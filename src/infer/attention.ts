import type { ModelConfig } from '../hf/model-config.ts'
import type { Graph, Value } from '../onnx/graph.ts'
import { rotate, type Attend, type Rope } from './layers.ts'

/** Keys and values of the prompt, a layer: `keys` is `[b, kvHeads, d, t]` (transposed once for every step), `values` `[b, kvHeads, t, d]`. */
export type PromptCache = { readonly keys: Value; readonly values: Value }

/** Keys and values of the new tokens, a layer: `[b, kvHeads, n, d]` both. */
export type StepCache = { readonly keys: Value; readonly values: Value }

/**
 * Attention of the prompt pass. Rows are padded on the right, so the causal mask alone keeps padding away from every
 * real token. Fills `cache`, a layer an entry.
 */
export function promptAttention(
  graph: Graph,
  config: ModelConfig,
  rope: Rope,
  mask: Value,
  cache: PromptCache[],
): Attend {
  const { heads, kvHeads, headDim } = config
  return (layer, query, key, value) => {
    const queries = transpose(graph, split(graph, rotate(graph, query, heads, rope), heads, headDim), [0, 2, 1, 3])
    const grouped = scale(graph, reshape(graph, queries, [0, kvHeads, -1, headDim]), headDim)
    const keys = transpose(graph, split(graph, rotate(graph, key, kvHeads, rope), kvHeads, headDim), [0, 2, 3, 1])
    const values = transpose(graph, split(graph, value, kvHeads, headDim), [0, 2, 1, 3])
    cache[layer] = { keys, values }
    const scores = reshape(graph, graph.node('MatMul', [grouped, keys]), [0, heads, -1, 0])
    const shares = graph.node('Softmax', [graph.node('Add', [scores, mask])], { axis: -1 })
    const mixed = graph.node('MatMul', [reshape(graph, shares, [0, kvHeads, -1, 0]), values])
    const byHead = reshape(graph, mixed, [0, heads, -1, headDim])
    return reshape(graph, transpose(graph, byHead, [0, 2, 1, 3]), [0, 0, heads * headDim])
  }
}

/**
 * Attention of one new token a row, over the prompt's cache (constant) and the new tokens' (grown by this one). The two
 * are never concatenated: copying the whole past every step is what costs in a Loop. `prompt.mask` is `[b, 1, 1, t]`,
 * `prompt.length` int64 `[1]`.
 */
export function stepAttention(
  graph: Graph,
  config: ModelConfig,
  rope: Rope,
  prompt: { readonly cache: readonly PromptCache[]; readonly mask: Value; readonly length: Value },
  steps: { readonly past: readonly StepCache[]; readonly grown: StepCache[] },
): Attend {
  const { heads, kvHeads, headDim } = config
  return (layer, query, key, value) => {
    const [before, recent] = [prompt.cache[layer], steps.past[layer]]
    if (before === undefined || recent === undefined) throw new Error(`layer ${layer} has no cache`)
    const queries = scale(graph, reshape(graph, rotate(graph, query, heads, rope), [0, kvHeads, -1, headDim]), headDim)
    const keys = append(graph, recent.keys, reshape(graph, rotate(graph, key, kvHeads, rope), [0, kvHeads, 1, headDim]))
    const values = append(graph, recent.values, reshape(graph, value, [0, kvHeads, 1, headDim]))
    steps.grown[layer] = { keys, values }
    const promptScores = graph.node('Add', [graph.node('MatMul', [queries, before.keys]), prompt.mask])
    const stepScores = graph.node('MatMul', [queries, transpose(graph, keys, [0, 1, 3, 2])])
    const shares = graph.node('Softmax', [graph.node('Concat', [promptScores, stepScores], { axis: 3 })], { axis: -1 })
    const axis = graph.constant('int64', [3], [1])
    const promptShares = graph.node('Slice', [shares, graph.constant('int64', [0], [1]), prompt.length, axis])
    const stepShares = graph.node('Slice', [shares, prompt.length, graph.constant('int64', [MAX_END], [1]), axis])
    const mixed = graph.node('Add', [
      graph.node('MatMul', [promptShares, before.values]),
      graph.node('MatMul', [stepShares, values]),
    ])
    return reshape(graph, mixed, [0, 1, heads * headDim])
  }
}

/** Far below every score, and no infinity, which could make NaN. */
export const MASKED = -1e9

/** Past every axis: Slice clamps it. */
const MAX_END = 2 ** 31 - 1

const split = (graph: Graph, x: Value, heads: number, headDim: number): Value =>
  reshape(graph, x, [0, 0, heads, headDim])

const append = (graph: Graph, past: Value, next: Value): Value => graph.node('Concat', [past, next], { axis: 2 })

/** q / √d, right before the product with the keys: on the CPU ONNX Runtime folds it into that. */
const scale = (graph: Graph, query: Value, headDim: number): Value =>
  graph.node('Mul', [query, graph.constant('float32', [1 / Math.sqrt(headDim)])])

/** 0 keeps the axis of the same place, -1 takes what is left. */
function reshape(graph: Graph, x: Value, shape: readonly number[]): Value {
  return graph.node('Reshape', [x, graph.constant('int64', shape, [shape.length])])
}

const transpose = (graph: Graph, x: Value, perm: readonly number[]): Value => graph.node('Transpose', [x], { perm })
