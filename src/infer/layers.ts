import type { ModelConfig } from '../hf/model-config.ts'
import type { Graph, Value } from '../onnx/graph.ts'
import { withLoras, type LoraSlots } from './lora-slots.ts'
import type { Weights } from './weights.ts'

/** Attention over whatever is cached: query `[b, t, heads·d]`, key and value `[b, t, kvHeads·d]` to `[b, t, heads·d]`. */
export type Attend = (layer: number, query: Value, key: Value, value: Value) => Value

/** The layers that an architecture is written in. Hidden states are `[b, t, hidden]`; modules go by their checkpoint's names. */
export type Layers = {
  readonly embed: (tokens: Value, module: string) => Value
  readonly rmsNorm: (x: Value, module: string) => Value
  /** x·Wᵀ + bias of each module, plus every row's LoRAs: Σ wⱼ·sⱼ·Bⱼ(Aⱼx). What reads the same x is asked for at once. */
  readonly linears: <const Modules extends readonly string[]>(
    x: Value,
    modules: Modules,
  ) => { readonly [Place in keyof Modules]: Value }
  readonly attend: Attend
  /** SwiGLU: silu(gate)·up. */
  readonly gate: (gated: Value, up: Value) => Value
  readonly add: (a: Value, b: Value) => Value
}

/** Layers that put their nodes into `graph`; without `loras` the base model alone. */
export function layersOf(
  graph: Graph,
  config: ModelConfig,
  weights: Weights,
  attend: Attend,
  loras: LoraSlots | null,
): Layers {
  return {
    embed: (tokens, module) => weights.embed(graph, tokens, module),
    rmsNorm: (x, module) => rmsNorm(graph, x, weights.vector(`${module}.weight`), config.normEps),
    linears(x, modules) {
      const bases = weights.linears(graph, x, modules)
      const outputs = loras === null ? bases : withLoras(graph, x, bases, loras)
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- an array of one for each module, whose length map forgets
      return modules.map(module => outputOf(outputs, module)) as { [Place in keyof typeof modules]: Value }
    },
    attend,
    gate: (gated, up) => graph.node('Mul', [graph.node('Mul', [gated, graph.node('Sigmoid', [gated])]), up]),
    add: (a, b) => graph.node('Add', [a, b]),
  }
}

function outputOf(outputs: ReadonlyMap<string, Value>, module: string): Value {
  const output = outputs.get(module)
  if (output === undefined) throw new Error(`${module} has no output, of ${[...outputs.keys()].join()}`)
  return output
}

/** x / √(mean(x²) + ε) · weight, over the last axis (Zhang and Sennrich 2019). ONNX Runtime fuses the nodes into one. */
function rmsNorm(graph: Graph, x: Value, weight: Value, epsilon: number): Value {
  const square = graph.node('Pow', [x, graph.constant('float32', [2])])
  const mean = graph.node('ReduceMean', [square, graph.constant('int64', [-1], [1])], { keepdims: 1 })
  const root = graph.node('Sqrt', [graph.node('Add', [mean, graph.constant('float32', [epsilon])])])
  return graph.node('Mul', [graph.node('Div', [x, root]), weight])
}

/** Rotary position embedding in Hugging Face's half-split form, on `[b, t, heads·d]`. */
export function rotate(graph: Graph, x: Value, heads: number, rope: Rope): Value {
  return graph.node('com.microsoft::RotaryEmbedding', [x, rope.positions, rope.cos, rope.sin], { num_heads: heads })
}

/** `positions` is `[b, t]`, or `[1]` for rows that all start there; `cos` and `sin` are `[positions, d/2]`. */
export type Rope = { readonly positions: Value; readonly cos: Value; readonly sin: Value }
