import assert from 'node:assert/strict'
import { isObject } from '../../src/hf/json.ts'
import { readFloat32, type Model } from '../../src/hf/model.ts'
import { ggufBytes, type Tensor, type Value } from './gguf-writer.ts'

/** A safetensors file of float32 tensors. */
export function safetensorsBytes(
  tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly values: Float32Array }>,
): Buffer {
  const header: Record<string, unknown> = {}
  let end = 0
  for (const [name, { shape, values }] of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [end, end + values.byteLength] }
    end += values.byteLength
  }
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  const data = [...tensors.values()].map(({ values }) =>
    Buffer.from(values.buffer, values.byteOffset, values.byteLength),
  )
  return Buffer.concat([length, json, ...data])
}

const NAMES: readonly (readonly [string, string])[] = [
  ['model.embed_tokens', 'token_embd'],
  ['model.norm', 'output_norm'],
  ['lm_head', 'output'],
  ['model.layers', 'blk'],
  ['input_layernorm', 'attn_norm'],
  ['post_attention_layernorm', 'ffn_norm'],
  ['self_attn.o_proj', 'attn_output'],
  ['self_attn.', 'attn_'],
  ['mlp.', 'ffn_'],
  ['_proj', ''],
]

/** The keys that a converter would write for the tiny Llama; a test may change some. */
export function tinyLlamaKeys(model: Model): Record<string, Value> {
  const { config, tokenizer } = model
  const bpe = tokenizer.json['model']
  assert.ok(isObject(bpe) && isObject(bpe['vocab']))
  const tokens = Array.from({ length: config.vocab }, (_, id) => `[PAD${id}]`)
  for (const [id, token] of ['<pad>', '<s>', '</s>'].entries()) tokens[id] = token
  for (const [token, id] of Object.entries(bpe['vocab'])) tokens[Number(id)] = token
  const size = (value: number): Value => ({ u32: value })
  return {
    'general.architecture': { string: 'llama' },
    'llama.block_count': size(config.layers),
    'llama.context_length': size(config.contextLength),
    'llama.embedding_length': size(config.hidden),
    'llama.feed_forward_length': size(config.intermediate),
    'llama.attention.head_count': size(config.heads),
    'llama.attention.head_count_kv': size(config.kvHeads),
    'llama.attention.layer_norm_rms_epsilon': { f32: config.normEps },
    'llama.rope.dimension_count': size(config.headDim),
    'llama.rope.freq_base': { f32: config.ropeTheta },
    'tokenizer.ggml.model': { string: 'gpt2' },
    'tokenizer.ggml.pre': { string: 'gpt-2' },
    'tokenizer.ggml.tokens': { strings: tokens },
    'tokenizer.ggml.token_type': { i32s: tokens.map((_, id) => (id < 3 ? 3 : 1)) },
    'tokenizer.ggml.merges': { strings: [] },
    'tokenizer.ggml.bos_token_id': size(1),
    'tokenizer.ggml.eos_token_id': size(2),
    'tokenizer.ggml.padding_token_id': size(0),
  }
}

/** The model as a converter to GGUF writes it: other names, and the rows of q and k interleaved. */
export async function tinyLlamaTensors(model: Model): Promise<Tensor[]> {
  const tensors: Tensor[] = []
  for (const [name, ref] of model.tensors) {
    const values = await readFloat32(ref)
    const data = /[qk]_proj/.test(name) ? interleaved(values, ref.shape, model.config.headDim) : values
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    const ggufName = NAMES.reduce((whole, [from, to]) => whole.replace(from, to), name)
    tensors.push({ name: ggufName, type: 0, shape: ref.shape, data: bytes })
  }
  return tensors
}

export async function tinyLlamaGguf(model: Model): Promise<Buffer> {
  return ggufBytes(tinyLlamaKeys(model), await tinyLlamaTensors(model))
}

/** `convert_hf_to_gguf.py`: reshape(heads, 2, d/2, in).swapaxes(1, 2). */
function interleaved(values: Float32Array, shape: readonly number[], headDim: number): Float32Array {
  const [rows = 0, columns = 0] = shape
  const out = new Float32Array(values.length)
  let to = 0
  for (let head = 0; head < rows / headDim; head++) {
    for (let pair = 0; pair < headDim / 2; pair++) {
      for (const half of [0, 1]) {
        const from = head * headDim + half * (headDim / 2) + pair
        out.set(values.subarray(from * columns, (from + 1) * columns), to++ * columns)
      }
    }
  }
  return out
}
