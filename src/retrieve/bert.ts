import { ModelError, UnsupportedModelError } from '../errors.ts'
import { shown, type JsonObject } from '../hf/json.ts'
import type { TensorInfo } from '../hf/safetensors.ts'
import { elementType, type ElementType } from '../onnx/element-types.ts'
import { buildGraph, float, type Attributes, type Graph, type Value } from '../onnx/graph.ts'
import type { GraphMessage } from '../onnx/proto.ts'

/** A BERT's sizes, as its `config.json` has them. */
export type BertConfig = {
  readonly hidden: number
  readonly layers: number
  readonly heads: number
  readonly intermediate: number
  readonly vocabulary: number
  readonly positions: number
  readonly types: number
  readonly epsilon: number
  readonly activation: 'gelu' | 'gelu_tanh' | 'relu'
}

/** BERT-large has 24; more is no encoder that would be called for every prompt. */
const MAX_LAYERS = 128

const ACTIVATIONS: Readonly<Record<string, BertConfig['activation']>> = {
  gelu: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  relu: 'relu',
}

/**
 * Reads a BERT's `config.json`.
 * @throws UnsupportedModelError for other models and variants, by name; ModelError for sizes that cannot be.
 */
export function parseBertConfig(file: string, json: JsonObject): BertConfig {
  const unsupported = (key: string, expected: string): Error =>
    new UnsupportedModelError(`${file}: ${key} is ${shown(json[key])}, expected ${expected}`)
  if (json['model_type'] !== 'bert') throw unsupported('model_type', 'bert (others run from onnx/model.onnx)')
  if ((json['position_embedding_type'] ?? 'absolute') !== 'absolute')
    throw unsupported('position_embedding_type', 'absolute')
  const named = json['hidden_act'] ?? 'gelu'
  const activation = typeof named === 'string' ? ACTIVATIONS[named] : undefined
  if (activation === undefined) throw unsupported('hidden_act', Object.keys(ACTIVATIONS).join(', '))
  const epsilon = json['layer_norm_eps'] ?? 1e-12
  if (typeof epsilon !== 'number' || !(epsilon >= 0 && epsilon < 1)) {
    throw new ModelError(`${file}: layer_norm_eps is ${shown(epsilon)}, expected a number from 0 to 1`)
  }
  const config = {
    hidden: size('hidden_size'),
    layers: size('num_hidden_layers'),
    heads: size('num_attention_heads'),
    intermediate: size('intermediate_size'),
    vocabulary: size('vocab_size'),
    positions: size('max_position_embeddings'),
    types: size('type_vocab_size'),
    epsilon,
    activation,
  }
  if (config.layers > MAX_LAYERS) throw unsupported('num_hidden_layers', `at most ${MAX_LAYERS}`)
  if (config.hidden % config.heads !== 0) {
    throw new ModelError(`${file}: hidden_size ${config.hidden} is no multiple of ${config.heads} heads`)
  }
  return config

  function size(key: string): number {
    const value = json[key]
    if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0 && value < 2 ** 24) return value
    throw new ModelError(`${file}: ${key} is ${shown(value)}, expected a whole number above 0`)
  }
}

/** The file of the weights: its path for messages, its name in the weight folder, and its tensors. */
export type BertWeights = {
  readonly path: string
  readonly location: string
  readonly tensors: ReadonlyMap<string, TensorInfo>
}

const ELEMENTS: Readonly<Partial<Record<TensorInfo['dtype'], ElementType>>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
}

/** Added where a key is padding: its exponential is exactly 0 in float32. */
const MASKED = -3.4028234663852886e38

/**
 * A BERT as transformers computes it: `input_ids`, `attention_mask` and `token_type_ids`, int64 `[b, t]`, to
 * `last_hidden_state`, float32 `[b, t, hidden]`. Weights stay in their file. Names are the checkpoint's.
 * @throws ModelError when a tensor is missing or has another shape than the config says.
 */
export function bertGraph(config: BertConfig, weights: BertWeights): GraphMessage {
  const { hidden, heads, epsilon } = config
  // A model that was saved with a head on it has everything under its name.
  const root = weights.tensors.has('bert.embeddings.word_embeddings.weight') ? 'bert.' : ''

  return buildGraph('bert', graph => {
    const ids = graph.input('input_ids', 'int64', ['b', 't'])
    const mask = graph.input('attention_mask', 'int64', ['b', 't'])
    const types = graph.input('token_type_ids', 'int64', ['b', 't'])
    const shape = graph.node('Shape', [ids])
    const withSizes = (...sizes: readonly number[]): Value =>
      graph.node('Concat', [shape, graph.constant('int64', sizes, [sizes.length])], { axis: 0 })
    const perHead = withSizes(heads, hidden / heads)
    const flat = graph.constant('int64', [-1, hidden])
    const bias = paddingBias(graph, mask)

    // Tokens of all texts lie in one list from here on: all but attention treats them alike.
    let x = graph.node('Reshape', [embeddings(graph, ids, types, shape), flat])
    for (let layer = 0; layer < config.layers; layer += 1) {
      const at = `encoder.layer.${layer}`
      x = normalised(graph, `${at}.attention.output.LayerNorm`, attention(graph, at, x, perHead, flat, bias), x)
      const inner = activated(graph, linear(graph, `${at}.intermediate.dense`, x, config.intermediate, hidden))
      x = normalised(
        graph,
        `${at}.output.LayerNorm`,
        linear(graph, `${at}.output.dense`, inner, hidden, config.intermediate),
        x,
      )
    }
    graph.output(graph.node('Reshape', [x, withSizes(hidden)]), 'float32', 'last_hidden_state')
  })

  function embeddings(graph: Graph, ids: Value, types: Value, shape: Value): Value {
    const table = (name: string, rows: number): Value => weight(graph, `embeddings.${name}.weight`, [rows, hidden])
    const words = graph.node('Gather', [table('word_embeddings', config.vocabulary), ids], { axis: 0 })
    const kinds = graph.node('Gather', [table('token_type_embeddings', config.types), types], { axis: 0 })
    const list = (number: number): Value => graph.constant('int64', [number], [1])
    const length = graph.node('Slice', [shape, list(1), list(2)])
    const places = graph.node('Slice', [table('position_embeddings', config.positions), list(0), length])
    return normalised(graph, 'embeddings.LayerNorm', graph.node('Add', [words, kinds]), places)
  }

  function attention(graph: Graph, at: string, x: Value, perHead: Value, flat: Value, bias: Value): Value {
    const split = (name: string, perm: readonly number[]): Value => {
      const y = linear(graph, `${at}.attention.self.${name}`, x, hidden, hidden)
      return graph.node('Transpose', [graph.node('Reshape', [y, perHead])], { perm })
    }
    const scale = graph.constant('float32', [1 / Math.sqrt(hidden / heads)])
    const scores = graph.node('MatMul', [split('query', [0, 2, 1, 3]), split('key', [0, 2, 3, 1])])
    const biased = graph.node('Add', [graph.node('Mul', [scores, scale]), bias])
    const mixed = graph.node('MatMul', [graph.node('Softmax', [biased], { axis: -1 }), split('value', [0, 2, 1, 3])])
    const joined = graph.node('Reshape', [graph.node('Transpose', [mixed], { perm: [0, 2, 1, 3] }), flat])
    return linear(graph, `${at}.attention.output.dense`, joined, hidden, hidden)
  }

  function activated(graph: Graph, x: Value): Value {
    if (config.activation === 'relu') return graph.node('Relu', [x])
    const attributes: Attributes = config.activation === 'gelu' ? {} : { approximate: 'tanh' }
    return graph.node('Gelu', [x], attributes)
  }

  /** LayerNorm(x + residual). */
  function normalised(graph: Graph, name: string, x: Value, residual: Value): Value {
    const sum = graph.node('Add', [x, residual])
    const [gain, offset] = [weight(graph, `${name}.weight`, [hidden]), weight(graph, `${name}.bias`, [hidden])]
    return graph.node('LayerNormalization', [sum, gain, offset], { axis: -1, epsilon: float(epsilon) })
  }

  /** x·Wᵀ + bias, for x of two axes. Gemm packs the weight as it is stored, where a Transpose would copy it first. */
  function linear(graph: Graph, name: string, x: Value, out: number, inner: number): Value {
    const [matrix, offset] = [weight(graph, `${name}.weight`, [out, inner]), weight(graph, `${name}.bias`, [out])]
    return graph.node('Gemm', [x, matrix, offset], { transB: 1 })
  }

  function weight(graph: Graph, name: string, shape: readonly number[]): Value {
    const tensor = weights.tensors.get(root + name)
    if (tensor === undefined) throw new ModelError(`${weights.path}: no tensor "${root}${name}"`)
    const type = ELEMENTS[tensor.dtype]
    if (type === undefined || tensor.shape.join() !== shape.join()) {
      const found = `${tensor.dtype} [${tensor.shape.join(', ')}]`
      throw new ModelError(
        `${weights.path}: tensor "${root}${name}" is ${found}, expected floats [${shape.join(', ')}]`,
      )
    }
    const { offset, length } = tensor
    const value = graph.weight(name, type, shape, { location: weights.location, offset, length })
    return type === 'float32' ? value : graph.node('Cast', [value], { to: elementType.float32 })
  }
}

/** `[b, 1, 1, t]`: 0 for a text's own tokens. */
function paddingBias(graph: Graph, mask: Value): Value {
  const own = graph.node('Cast', [mask], { to: elementType.float32 })
  const padding = graph.node('Sub', [graph.constant('float32', [1]), own])
  const bias = graph.node('Mul', [padding, graph.constant('float32', [MASKED])])
  return graph.node('Unsqueeze', [bias, graph.constant('int64', [1, 2])])
}
