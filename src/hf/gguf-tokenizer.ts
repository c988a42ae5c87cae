import { ModelError, UnsupportedModelError } from '../errors.ts'
import type { GgufFile, GgufValue } from './gguf.ts'
import { shown, type JsonObject } from './json.ts'
import { checkTemplate, type TokenizerFiles } from './tokenizer-files.ts'

/** How text is cut before merges apply; llama.cpp names the ways, `tokenizer.json` spells them out. */
type PreTokenizer = {
  readonly normalizer: JsonObject | null
  readonly cuts: readonly JsonObject[]
  readonly ignoreMerges: boolean
}

const BYTES = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }
const GPT2 = { ...BYTES, use_regex: true }

/** Llama 3's and Qwen 2's pattern; they differ in how many digits stay together. */
const words = (digits: string): JsonObject => ({
  type: 'Split',
  behavior: 'Isolated',
  invert: false,
  pattern: {
    Regex: String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  },
})

const LLAMA3: PreTokenizer = { normalizer: null, cuts: [words(String.raw`\p{N}{1,3}`), BYTES], ignoreMerges: true }

const PRE_TOKENIZERS: ReadonlyMap<string, PreTokenizer> = new Map([
  ['gpt-2', { normalizer: null, cuts: [GPT2], ignoreMerges: false }],
  ['smollm', { normalizer: null, cuts: [{ type: 'Digits', individual_digits: true }, GPT2], ignoreMerges: false }],
  ['llama-bpe', LLAMA3],
  ['llama3', LLAMA3],
  ['qwen2', { normalizer: { type: 'NFC' }, cuts: [words(String.raw`\p{N}`), BYTES], ignoreMerges: false }],
])

/** llama.cpp's kinds of tokens (`llama.h`: `enum llama_token_type`). */
const CONTROL = 3
const USER_DEFINED = 4

/**
 * The tokenizer that a GGUF file carries, in the form of `tokenizer.json`: byte-level BPE (`gpt2`) with the ways of
 * cutting text that are named here.
 * @throws UnsupportedModelError for another model or way; ModelError when its lists do not fit.
 */
export function ggufTokenizer(file: GgufFile): TokenizerFiles {
  const { path, metadata } = file
  const model = metadata.get('tokenizer.ggml.model')
  if (model !== 'gpt2') {
    throw new UnsupportedModelError(`${path}: tokenizer.ggml.model is "${shown(model)}", expected "gpt2"`)
  }
  const pre = metadata.get('tokenizer.ggml.pre')
  const way = PRE_TOKENIZERS.get(String(pre))
  if (way === undefined) {
    const names = [...PRE_TOKENIZERS.keys()].join(' ')
    throw new UnsupportedModelError(`${path}: tokenizer.ggml.pre is "${shown(pre)}", expected one of ${names}`)
  }
  const tokens = list(path, metadata, 'tokenizer.ggml.tokens', isString)
  const types = list(path, metadata, 'tokenizer.ggml.token_type', isNumber)
  const merges = list(path, metadata, 'tokenizer.ggml.merges', isString)
  if (types.length !== tokens.length) {
    throw new ModelError(`${path}: tokenizer.ggml.token_type has ${types.length} entries, expected ${tokens.length}`)
  }
  const rows = file.tensors.get('token_embd.weight')?.shape[0] ?? 0
  if (tokens.length > rows) {
    throw new ModelError(
      `${path}: tokenizer.ggml.tokens has ${tokens.length} entries, but the embedding has ${rows} rows`,
    )
  }
  const ids = new Map(tokens.map((token, id) => [token, id]))
  if (ids.size !== tokens.length) throw new ModelError(`${path}: tokenizer.ggml.tokens has a token twice`)

  const text = (kind: string): string | null => tokens[Number(metadata.get(`tokenizer.ggml.${kind}_token_id`))] ?? null
  const bosToken = text('bos')
  const framed = metadata.get('tokenizer.ggml.add_bos_token') === true && bosToken !== null
  const template = metadata.get('tokenizer.chat_template')
  return {
    source: path,
    json: {
      added_tokens: tokens.flatMap((content, id) => {
        const type = types[id]
        if (type !== CONTROL && type !== USER_DEFINED) return []
        return [{ id, content, special: type === CONTROL, normalized: false }]
      }),
      normalizer: way.normalizer,
      pre_tokenizer: { type: 'Sequence', pretokenizers: way.cuts },
      post_processor: framed ? beginning(bosToken, ids.get(bosToken) ?? 0) : null,
      decoder: GPT2,
      model: { type: 'BPE', vocab: Object.fromEntries(ids), merges, ignore_merges: way.ignoreMerges },
    },
    bosToken,
    eosToken: text('eos'),
    chatTemplate: typeof template === 'string' ? checkTemplate(`${path}: tokenizer.chat_template`, template) : null,
  }
}

/** Puts the token that begins a sequence before every text. */
function beginning(token: string, id: number): JsonObject {
  return {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: token, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  }
}

function list<T extends string | number>(
  path: string,
  metadata: ReadonlyMap<string, GgufValue>,
  key: string,
  isItem: (item: unknown) => item is T,
): readonly T[] {
  const value = metadata.get(key)
  if (!Array.isArray(value)) throw new ModelError(`${path}: ${key} is ${shown(value)}, expected a list`)
  const items: readonly unknown[] = value
  if (!items.every(isItem)) throw new ModelError(`${path}: ${key} has an entry of the wrong type`)
  return items
}

function isString(item: unknown): item is string {
  return typeof item === 'string'
}

function isNumber(item: unknown): item is number {
  return typeof item === 'number'
}
