import { ModelError, UnsupportedModelError } from '../errors.ts'
import { checkHeads, checkInteger, checkNumber } from './config-json.ts'
import type { GgufFile, GgufTensor, GgufValue } from './gguf.ts'
import { shown } from './json.ts'
import { BOUNDS, type ModelConfig, type RopeScaling } from './model-config.ts'

/** Keys of other families of the same architecture name; each changes the maths. */
const UNSUPPORTED_KEYS = [
  'expert_count',
  'attention.sliding_window',
  'attention.scale',
  'embedding_scale',
  'residual_scale',
  'logit_scale',
  'attn_logit_softcapping',
  'final_logit_softcapping',
] as const

/**
 * What a GGUF file's keys say of a model of the llama or the qwen2 family; biases and a separate output head are there
 * when their tensors are.
 * @throws UnsupportedModelError for another family, or for what this version does not run.
 * @throws ModelError for a value that makes no sense.
 */
export function ggufConfig(file: GgufFile): ModelConfig {
  const { path, metadata, tensors } = file
  const architecture = metadata.get('general.architecture')
  if (architecture !== 'llama' && architecture !== 'qwen2') {
    const found = shown(architecture)
    throw new UnsupportedModelError(`${path}: general.architecture is "${found}", expected "llama" or "qwen2"`)
  }
  const key = (name: string): string => `${architecture}.${name}`
  for (const name of UNSUPPORTED_KEYS) {
    const value = metadata.get(key(name)) ?? 0
    if (value !== 0) throw new UnsupportedModelError(`${path}: ${key(name)} is ${shown(value)}, expected none`)
  }
  if (tensors.has('rope_freqs.weight')) {
    throw new UnsupportedModelError(`${path}: tensor "rope_freqs.weight": llama3 rope scaling is not read from GGUF`)
  }
  const size = (name: string, most: number, otherwise?: GgufValue): number =>
    checkInteger(`${path}: ${key(name)}`, metadata.get(key(name)) ?? otherwise, 1, most)
  const hidden = size('embedding_length', BOUNDS.hidden)
  const heads = size('attention.head_count', BOUNDS.heads)
  const headDim = size('attention.key_length', BOUNDS.headDim, hidden / heads)
  for (const name of ['attention.value_length', 'rope.dimension_count']) {
    const value = metadata.get(key(name)) ?? headDim
    if (value === headDim) continue
    throw new UnsupportedModelError(`${path}: ${key(name)} is ${shown(value)}, expected the head dimension, ${headDim}`)
  }
  const rows = tensors.get('token_embd.weight')?.shape[0]
  const vocab = checkInteger(`${path}: rows of "token_embd.weight"`, rows, 1, BOUNDS.vocab)
  const token = (name: string): number[] => {
    const id = metadata.get(`tokenizer.ggml.${name}_token_id`)
    return id === undefined ? [] : [checkInteger(`${path}: tokenizer.ggml.${name}_token_id`, id, 0, vocab - 1)]
  }
  return checkHeads(path, {
    architecture,
    layers: size('block_count', BOUNDS.layers),
    hidden,
    intermediate: size('feed_forward_length', BOUNDS.intermediate),
    heads,
    kvHeads: size('attention.head_count_kv', heads, heads),
    headDim,
    vocab,
    contextLength: size('context_length', BOUNDS.contextLength),
    normEps: checkNumber(
      `${path}: ${key('attention.layer_norm_rms_epsilon')}`,
      metadata.get(key('attention.layer_norm_rms_epsilon')),
      0,
      1,
    ),
    ropeTheta: checkNumber(`${path}: ${key('rope.freq_base')}`, metadata.get(key('rope.freq_base')) ?? 10_000, 1, 1e12),
    ropeScaling: ropeScaling(path, metadata, key),
    tied: !tensors.has('output.weight'),
    qkvBias: tensors.has('blk.0.attn_q.bias'),
    outputBias: tensors.has('blk.0.attn_output.bias'),
    mlpBias: tensors.has('blk.0.ffn_gate.bias'),
    eosTokenIds: [...new Set([...token('eos'), ...token('eot')])],
    bosTokenId: token('bos')[0] ?? null,
    padTokenId: token('padding')[0] ?? null,
  })
}

function ropeScaling(
  path: string,
  metadata: ReadonlyMap<string, GgufValue>,
  key: (name: string) => string,
): RopeScaling {
  const factor = metadata.get(key('rope.scaling.factor')) ?? metadata.get(key('rope.scale_linear')) ?? 1
  const type = metadata.get(key('rope.scaling.type')) ?? (factor === 1 ? 'none' : 'linear')
  if (type === 'none') return { type: 'none' }
  if (type === 'linear') return { type, factor: checkNumber(`${path}: ${key('rope.scaling.factor')}`, factor, 0, 1e6) }
  throw new UnsupportedModelError(
    `${path}: ${key('rope.scaling.type')} is "${shown(type)}", expected "none" or "linear"`,
  )
}

const OUTER_NAMES: Readonly<Record<string, string>> = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
}

const LAYER_NAMES: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  ffn_norm: 'post_attention_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
}

/** A tensor under its Hugging Face name; `interleaved` tells that its rows stand as llama.cpp's rope wants them. */
export type NamedTensor = GgufTensor & { readonly interleaved: boolean }

/**
 * The file's tensors by their Hugging Face names. Converters to GGUF reorder the rows of q and k for the llama family,
 * and only for it (`convert_hf_to_gguf.py`: `LlamaModel.permute`).
 * @throws ModelError for a tensor that the family does not have.
 */
export function ggufTensors(file: GgufFile): ReadonlyMap<string, NamedTensor> {
  const permuted = file.metadata.get('general.architecture') === 'llama'
  const named = new Map<string, NamedTensor>()
  for (const [name, tensor] of file.tensors) {
    const [, layer, part = '', kind = ''] = /^(?:blk\.(\d{1,4})\.)?(\w+)\.(weight|bias)$/.exec(name) ?? []
    const names = layer === undefined ? OUTER_NAMES : LAYER_NAMES
    const module = Object.hasOwn(names, part) ? names[part] : undefined
    if (module === undefined) throw new ModelError(`${file.path}: tensor "${shown(name)}" is none that this family has`)
    const prefix = layer === undefined ? '' : `model.layers.${Number(layer)}.`
    const interleaved = permuted && (part === 'attn_q' || part === 'attn_k')
    named.set(`${prefix}${module}.${kind}`, { ...tensor, interleaved })
  }
  return named
}
