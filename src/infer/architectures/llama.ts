import type { ModelConfig } from '../../hf/model-config.ts'
import type { Value } from '../../onnx/graph.ts'
import type { Layers } from '../layers.ts'

/**
 * Llama, and Qwen2, which differs by biases on q, k and v alone: tokens `[b, t]` to hidden states `[b, t, hidden]`, in
 * forward order, by the module names of the Hugging Face checkpoint.
 */
export function llama(layers: Layers, config: ModelConfig, tokens: Value): Value {
  const { embed, rmsNorm, linears, attend, gate, add } = layers
  let hidden = embed(tokens, 'model.embed_tokens')
  for (let index = 0; index < config.layers; index++) {
    const block = `model.layers.${index}`
    const [attention, mlp] = [`${block}.self_attn`, `${block}.mlp`]
    const normed = rmsNorm(hidden, `${block}.input_layernorm`)
    const [query, key, value] = linears(normed, [`${attention}.q_proj`, `${attention}.k_proj`, `${attention}.v_proj`])
    const [mixed] = linears(attend(index, query, key, value), [`${attention}.o_proj`])
    hidden = add(hidden, mixed)
    const inner = rmsNorm(hidden, `${block}.post_attention_layernorm`)
    const [gated, up] = linears(inner, [`${mlp}.gate_proj`, `${mlp}.up_proj`])
    const [down] = linears(gate(gated, up), [`${mlp}.down_proj`])
    hidden = add(hidden, down)
  }
  return rmsNorm(hidden, 'model.norm')
}
