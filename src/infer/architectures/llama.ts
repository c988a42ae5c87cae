import type { ModelConfig } from '../../hf/model-config.ts'
import type { Value } from '../../onnx/graph.ts'
import type { Layers } from '../layers.ts'

/**
 * Llama, and Qwen2, which differs by biases on q, k and v alone: tokens `[b, t]` to hidden states `[b, t, hidden]`, in
 * forward order, by the module names of the Hugging Face checkpoint.
 */
export function llama(layers: Layers, config: ModelConfig, tokens: Value): Value {
  const { embed, rmsNorm, linear, attend, gate, add } = layers
  let hidden = embed(tokens, 'model.embed_tokens')
  for (let index = 0; index < config.layers; index++) {
    const block = `model.layers.${index}`
    const normed = rmsNorm(hidden, `${block}.input_layernorm`)
    const query = linear(normed, `${block}.self_attn.q_proj`)
    const key = linear(normed, `${block}.self_attn.k_proj`)
    const value = linear(normed, `${block}.self_attn.v_proj`)
    hidden = add(hidden, linear(attend(index, query, key, value), `${block}.self_attn.o_proj`))
    const inner = rmsNorm(hidden, `${block}.post_attention_layernorm`)
    const gated = gate(linear(inner, `${block}.mlp.gate_proj`), linear(inner, `${block}.mlp.up_proj`))
    hidden = add(hidden, linear(gated, `${block}.mlp.down_proj`))
  }
  return rmsNorm(hidden, 'model.norm')
}
