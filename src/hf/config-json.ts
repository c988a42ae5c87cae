import { ModelError, UnsupportedModelError } from '../errors.ts'
import { isObject, shown, type JsonObject } from './json.ts'
import { BOUNDS, type Architecture, type ModelConfig, type RopeScaling } from './model-config.ts'

/** What transformers takes when a key is absent (`configuration_llama.py`, `configuration_qwen2.py`). */
const DEFAULTS: Readonly<Record<Architecture, { className: string; contextLength: number; qkvBias: boolean }>> = {
  llama: { className: 'LlamaForCausalLM', contextLength: 2048, qkvBias: false },
  qwen2: { className: 'Qwen2ForCausalLM', contextLength: 32_768, qkvBias: true },
}

/** Keys that change the maths of other families; here each must be absent, null, or the value that changes nothing. */
const UNSUPPORTED_KEYS: Readonly<Record<string, unknown>> = {
  quantization_config: null,
  compression_config: null,
  attn_logit_softcapping: null,
  final_logit_softcapping: null,
  query_pre_attn_scalar: null,
  clip_qkv: null,
  embedding_multiplier: 1,
  attention_multiplier: null,
  residual_multiplier: 1,
  logits_scaling: 1,
  partial_rotary_factor: 1,
  num_experts: null,
  num_local_experts: null,
}

/** A model has one to a few end tokens. */
const MAX_END_TOKENS = 64

/**
 * A `config.json` (as transformers 5 or an earlier one wrote it) and the `generation_config.json` beside it, if any.
 * `file` names the former in messages, `generationFile` the latter.
 * @throws UnsupportedModelError for a model that this version does not run, naming what it lacks.
 * @throws ModelError for a value that makes no sense.
 */
export function parseConfigJson(
  file: string,
  config: JsonObject,
  generationFile: string,
  generation: JsonObject | null,
): ModelConfig {
  const architecture = parseArchitecture(file, config)
  const defaults = DEFAULTS[architecture]
  refuseUnsupported(file, config, architecture)

  const size = (key: string, most: number, otherwise?: number): number =>
    checkInteger(`${file}: ${key}`, config[key] ?? otherwise, 1, most)
  const heads = size('num_attention_heads', BOUNDS.heads)
  const hidden = size('hidden_size', BOUNDS.hidden)
  const vocab = size('vocab_size', BOUNDS.vocab)
  const attentionBias = architecture === 'llama' && flag(file, config, 'attention_bias')

  const tokens = (key: string): number[] => {
    const ofGeneration = tokenIds(`${generationFile}: ${key}`, generation?.[key], vocab)
    return ofGeneration.length > 0 ? ofGeneration : tokenIds(`${file}: ${key}`, config[key], vocab)
  }
  return checkHeads(file, {
    architecture,
    layers: size('num_hidden_layers', BOUNDS.layers),
    hidden,
    intermediate: size('intermediate_size', BOUNDS.intermediate),
    heads,
    kvHeads: size('num_key_value_heads', heads, heads),
    headDim: size('head_dim', BOUNDS.headDim, hidden / heads),
    vocab,
    contextLength: size('max_position_embeddings', BOUNDS.contextLength, defaults.contextLength),
    normEps: checkNumber(`${file}: rms_norm_eps`, config['rms_norm_eps'] ?? 1e-6, 0, 1),
    ...parseRope(file, config),
    tied: flag(file, config, 'tie_word_embeddings'),
    qkvBias: defaults.qkvBias || attentionBias,
    outputBias: attentionBias,
    mlpBias: architecture === 'llama' && flag(file, config, 'mlp_bias'),
    eosTokenIds: tokens('eos_token_id'),
    bosTokenId: tokens('bos_token_id')[0] ?? null,
    padTokenId: tokens('pad_token_id')[0] ?? null,
  })
}

/** The config, when its heads fit each other. `file` names it in messages. */
export function checkHeads(file: string, config: ModelConfig): ModelConfig {
  const { heads, kvHeads, headDim } = config
  if (heads % kvHeads !== 0) {
    throw new ModelError(`${file}: ${heads} attention heads cannot share ${kvHeads} key-value heads`)
  }
  if (headDim % 2 !== 0) throw new ModelError(`${file}: a head dimension of ${headDim}, expected an even number`)
  return config
}

/** An integer between `least` and `most`; `where` names the file and the key. */
export function checkInteger(where: string, value: unknown, least: number, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw new ModelError(`${where} is ${shown(value)}, expected an integer from ${least} to ${most}`)
  }
  return value
}

/** A finite number above `above` and at most `most`; `where` names the file and the key. */
export function checkNumber(where: string, value: unknown, above: number, most: number): number {
  if (typeof value !== 'number' || !(value > above && value <= most)) {
    throw new ModelError(`${where} is ${shown(value)}, expected a number above ${above} and at most ${most}`)
  }
  return value
}

function parseArchitecture(file: string, config: JsonObject): Architecture {
  const type = config['model_type']
  if (type !== 'llama' && type !== 'qwen2') {
    throw new UnsupportedModelError(`${file}: model_type is "${shown(type)}", expected "llama" or "qwen2"`)
  }
  const { className } = DEFAULTS[type]
  const classes = config['architectures'] ?? [className]
  if (!Array.isArray(classes) || !classes.includes(className)) {
    throw new UnsupportedModelError(`${file}: architectures is ${shown(classes)}, expected ["${className}"]`)
  }
  return type
}

function refuseUnsupported(file: string, config: JsonObject, architecture: Architecture): void {
  const refuse = (key: string, expected: string): never => {
    throw new UnsupportedModelError(`${file}: ${key} is ${shown(config[key])}, expected ${expected}`)
  }
  for (const [key, harmless] of Object.entries(UNSUPPORTED_KEYS)) {
    const value = config[key] ?? null
    if (value !== null && value !== harmless) refuse(key, harmless === null ? 'none' : shown(harmless))
  }
  if ((config['hidden_act'] ?? 'silu') !== 'silu') refuse('hidden_act', '"silu"')
  const slides = architecture === 'qwen2' ? flag(file, config, 'use_sliding_window') : config['sliding_window'] != null
  if (slides) refuse('sliding_window', 'none: attention over a sliding window is not supported')
  const layerTypes = config['layer_types'] ?? []
  if (!Array.isArray(layerTypes) || layerTypes.some(type => type !== 'full_attention')) {
    refuse('layer_types', '"full_attention" only')
  }
}

/** transformers 5 has `rope_parameters`; before, `rope_theta` and `rope_scaling` stood apart. */
function parseRope(file: string, config: JsonObject): { ropeTheta: number; ropeScaling: RopeScaling } {
  const key = config['rope_parameters'] == null ? 'rope_scaling' : 'rope_parameters'
  const rope = config[key] ?? {}
  if (!isObject(rope)) throw new ModelError(`${file}: ${key} is ${shown(rope)}, expected an object`)
  const thetas = [rope['rope_theta'], config['rope_theta']].filter(theta => theta != null)
  if (thetas.length === 2 && thetas[0] !== thetas[1]) {
    throw new ModelError(`${file}: rope_theta is ${shown(thetas[1])}, but ${shown(thetas[0])} in ${key}`)
  }
  const ropeTheta = checkNumber(`${file}: rope_theta`, thetas[0] ?? 10_000, 1, 1e12)
  if ((rope['partial_rotary_factor'] ?? 1) !== 1) {
    throw new UnsupportedModelError(
      `${file}: ${key}.partial_rotary_factor is ${shown(rope['partial_rotary_factor'])}, expected 1`,
    )
  }
  return { ropeTheta, ropeScaling: parseRopeScaling(`${file}: ${key}`, rope) }
}

function parseRopeScaling(where: string, rope: JsonObject): RopeScaling {
  const number = (key: string, most: number): number => checkNumber(`${where}.${key}`, rope[key], 0, most)
  const type = rope['rope_type'] ?? rope['type'] ?? 'default'
  if (type === 'default') return { type: 'none' }
  if (type === 'linear') return { type: 'linear', factor: number('factor', 1e6) }
  if (type !== 'llama3') {
    throw new UnsupportedModelError(`${where}: rope type is "${shown(type)}", expected "default", "linear" or "llama3"`)
  }
  const scaling = {
    type: 'llama3',
    factor: number('factor', 1e6),
    lowFreqFactor: number('low_freq_factor', 1e6),
    highFreqFactor: number('high_freq_factor', 1e6),
    originalContext: number('original_max_position_embeddings', BOUNDS.contextLength),
  } as const
  if (scaling.highFreqFactor <= scaling.lowFreqFactor) {
    throw new ModelError(
      `${where}.high_freq_factor is ${scaling.highFreqFactor}, expected more than low_freq_factor, ${scaling.lowFreqFactor}`,
    )
  }
  return scaling
}

function flag(file: string, config: JsonObject, key: string): boolean {
  const value = config[key] ?? false
  if (typeof value !== 'boolean') throw new ModelError(`${file}: ${key} is ${shown(value)}, expected true or false`)
  return value
}

/** One id, a list of them, or none; early Llama configs say -1 for none. */
function tokenIds(where: string, value: unknown, vocab: number): number[] {
  const ids: readonly unknown[] = Array.isArray(value) ? value : value == null || value === -1 ? [] : [value]
  if (ids.length > MAX_END_TOKENS)
    throw new ModelError(`${where}: ${ids.length} tokens, expected at most ${MAX_END_TOKENS}`)
  return ids.map(id => checkInteger(where, id, 0, vocab - 1))
}
