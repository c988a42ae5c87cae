import type { ModelConfig } from '../hf/model-config.ts'
import type { Graph, Value } from '../onnx/graph.ts'
import { architectures } from './architectures.ts'
import { MASKED, promptAttention, type PromptCache } from './attention.ts'
import type { GenerationInputs } from './generation-inputs.ts'
import { layersOf } from './layers.ts'
import type { LoraSlots } from './lora-slots.ts'
import type { Weights } from './weights.ts'

/** What decoding goes on from: the hidden state `[b, hidden]` of each row's last token, and the prompt's keys and values. */
export type PromptState = { readonly last: Value; readonly cache: readonly PromptCache[] }

type PromptInputs = Pick<GenerationInputs, 'tokens' | 'cos' | 'sin'>

/** Runs prompts `[b, t]`; the head need see each row's last token alone. */
export function promptPass(
  graph: Graph,
  config: ModelConfig,
  weights: Weights,
  loras: LoraSlots | null,
  inputs: PromptInputs & Pick<GenerationInputs, 'lengths'>,
): PromptState {
  const { hidden, cache } = forward(graph, config, weights, loras, inputs)
  const axis = graph.constant('int64', [1], [1])
  const last = graph.node('Unsqueeze', [graph.node('Sub', [inputs.lengths, graph.constant('int64', [1])]), axis])
  return { last: graph.node('GatherND', [hidden, last], { batch_dims: 1 }), cache }
}

/** The logits `[b, t, vocabulary]` of every position. */
export function promptLogits(
  graph: Graph,
  config: ModelConfig,
  weights: Weights,
  loras: LoraSlots | null,
  inputs: PromptInputs,
): Value {
  return weights.head(graph, forward(graph, config, weights, loras, inputs).hidden)
}

function forward(graph: Graph, config: ModelConfig, weights: Weights, loras: LoraSlots | null, inputs: PromptInputs) {
  const { tokens, cos, sin } = inputs
  const cache: PromptCache[] = []
  const rope = { cos, sin, positions: graph.constant('int64', [0], [1]) }
  const attend = promptAttention(graph, config, rope, causalMask(graph, tokens), cache)
  const layers = layersOf(graph, config, weights, attend, loras)
  return { hidden: architectures[config.architecture](layers, config, tokens), cache }
}

/** `[t, t]`: 0 where the key is not after the query, else MASKED. */
function causalMask(graph: Graph, tokens: Value): Value {
  const length = graph.node('Shape', [tokens], { start: 1, end: 2 })
  const square = graph.node('Concat', [length, length], { axis: 0 })
  const masked = graph.node('Expand', [graph.constant('float32', [MASKED]), square])
  return graph.node('Trilu', [masked, graph.constant('int64', [1])], { upper: 1 })
}
