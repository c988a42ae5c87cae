import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers'
import { ModelError, UnsupportedModelError } from '../errors.ts'
import { parseAddedTokens, splitter, type AddedToken } from './added-tokens.ts'
import { bertNormalizer } from './bert-normalizer.ts'
import { openBpe } from './bpe.ts'
import { bytesOf, exactPreTokenizer, hasByteLevel } from './byte-level.ts'
import { isObject, shown, type JsonObject } from './json.ts'
import type { TokenizerFiles } from './tokenizer-files.ts'

/** Text to token ids and back. Any string is taken: a lone surrogate counts as U+FFFD, as UTF-8 has no place for it. */
export type Tokenizer = {
  /**
   * With `special`, as transformers encodes a text: the names of special tokens in it become these tokens, and the
   * tokens that begin and end a sequence (`[CLS]` … `[SEP]`) are put around it. Without, a plain text and nothing else.
   */
  encode(text: string, options: { readonly special: boolean }): number[]
  /** One text in parts: special tokens are seen in those parts alone that say so, and nothing is put around. */
  encodeParts(parts: readonly TextPart[]): number[]
  /** The text of these tokens without the special ones; ids that no token has count for nothing. */
  decode(ids: readonly number[]): string
  /** A token's bytes; `null` when it is special, not there, or the tokenizer is not byte-level. */
  tokenBytes(id: number): Uint8Array | null
  /** One more than the largest id. */
  readonly vocabSize: number
  /**
   * No token stands for more bytes of text than this, so a longer text than n times as many has more than n tokens
   * (but for bytes without a token). Infinity when words of any length may become one token.
   */
  readonly maxTokenBytes: number
}

/** A piece of text, and whether the names of special tokens in it mean these tokens. */
export type TextPart = { readonly text: string; readonly special: boolean }

/** What is used of the library's tokenizer, whose own types do not resolve under nodenext. */
type Library = {
  readonly normalizer: ((text: string) => string) | null
  readonly pre_tokenizer: ((text: string, options: { section_index: number }) => string[]) | null
  readonly model: ((words: string[]) => string[]) & {
    readonly tokens_to_ids: Map<string, number>
    readonly unk_token?: string | null
  }
  readonly post_processor: ((tokens: string[], pair: null, special: boolean) => { tokens: string[] }) | null
  readonly decoder: ((tokens: string[]) => string) | null
}

// The class has an unresolved type, and gets the narrow one above; test/hf/tokenizer.test.ts runs every member of it.
// oxlint-disable-next-line typescript/no-unsafe-type-assertion
const Library = LibraryTokenizer as unknown as new (json: JsonObject, config: JsonObject) => Library

/** A character that no token is, to find where the text stands between what frames it. */
const TEXT = '\0'

/** Composing normalisers shorten a text at most so often: a mathematical letter of four bytes becomes an ASCII one. */
const SHORTENED_BY_NORMALISER = 4

/**
 * The tokenizer that a model's or an encoder's files describe.
 * @throws ModelError when they do not describe one; UnsupportedModelError for features that are not supported.
 */
export function openTokenizer(files: TokenizerFiles): Tokenizer {
  const { source, json } = files
  const byteLevel = hasByteLevel(json['pre_tokenizer'])
  const added = parseAddedTokens(source, json['added_tokens'])
  const library = openLibrary(source, json)
  const normalizer = bertNormalizer(json['normalizer']) ?? library.normalizer
  const vocabulary = openVocabulary(source, json, library, byteLevel, added)
  const { ids } = vocabulary

  const addedById = new Map(added.map(token => [token.id, token]))
  const addedByName = new Map(added.map(token => [token.content, token]))
  const names = new Map<number, string>()
  for (const [token, id] of ids) names.set(id, token)
  const vocabSize = [...names.keys(), ...addedById.keys()].reduce((most, id) => Math.max(most, id), -1) + 1

  const splitAll = splitter(added)
  const splitPlain = splitter(added.filter(token => !token.special))
  const frame = frameOf(source, library, token => addedByName.get(token)?.id ?? ids.get(token))

  function encodePlain(text: string, section: number): number[] {
    const normal = text === '' || normalizer === null ? text : normalizer(text)
    if (normal === '') return []
    return vocabulary.encode(
      library.pre_tokenizer === null ? [normal] : library.pre_tokenizer(normal, { section_index: section }),
    )
  }

  function encodeParts(parts: readonly TextPart[]): number[] {
    const sections: (string | AddedToken)[] = []
    const push = (piece: string | AddedToken): void => {
      const last = sections.at(-1)
      if (typeof piece === 'string' && typeof last === 'string') sections[sections.length - 1] = last + piece
      else sections.push(piece)
    }
    for (const { text, special } of parts) {
      if (special) splitAll(text).forEach(push)
      else push(text)
    }
    const pieces = sections.flatMap(section => (typeof section === 'string' ? splitPlain(section) : [section]))
    return pieces.flatMap((piece, index) => {
      if (typeof piece !== 'string') return [piece.id]
      const [before, after] = [pieces[index - 1], pieces[index + 1]]
      const left = typeof before === 'object' && before.rstrip ? piece.trimStart() : piece
      return encodePlain(typeof after === 'object' && after.lstrip ? left.trimEnd() : left, index)
    })
  }

  function tokenBytes(id: number): Uint8Array | null {
    const name = addedById.get(id)
    if (!byteLevel || name?.special === true) return null
    if (name !== undefined) return new TextEncoder().encode(name.content)
    const token = names.get(id)
    return token === undefined ? null : bytesOf(token)
  }

  function decode(tokens: readonly number[]): string {
    if (byteLevel) {
      const bytes = tokens.flatMap(id => tokenBytes(id) ?? [])
      return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(bytes))
    }
    const texts = tokens.flatMap(id => {
      const name = addedById.get(id)
      if (name?.special === true) return []
      return name?.content ?? names.get(id) ?? []
    })
    return texts.length === 0 || library.decoder === null ? texts.join('') : library.decoder(texts)
  }

  return {
    encode: (text, { special }) =>
      special
        ? [...frame.before, ...encodeParts([{ text, special }]), ...frame.after]
        : encodeParts([{ text, special }]),
    encodeParts,
    decode,
    tokenBytes,
    vocabSize,
    maxTokenBytes: longestToken(json, byteLevel, ids.keys(), added),
  }
}

/** The model `BPE` is read by bpe.ts; the library gets an empty one. */
function openLibrary(source: string, json: JsonObject): Library {
  const { model, normalizer = null, post_processor = null, decoder = null } = json
  if (!isObject(model)) throw new ModelError(`${source}: model is ${shown(model)}, expected an object`)
  if (!isBpe(model) && model['type'] !== 'WordPiece') {
    throw new UnsupportedModelError(`${source}: model.type is ${shown(model['type'])}, expected BPE or WordPiece`)
  }
  const parts = { normalizer, post_processor, decoder, pre_tokenizer: exactPreTokenizer(json['pre_tokenizer']) }
  try {
    return new Library(
      { ...parts, added_tokens: [], model: isBpe(model) ? { ...model, vocab: {}, merges: [] } : model },
      {},
    )
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new ModelError(`${source}: no tokenizer can be made of it: ${shown(reason)}`, { cause })
  }
}

/** The tokens by their text, and the way from words to ids, which never yields a special token but that of the unknown. */
function openVocabulary(
  source: string,
  json: JsonObject,
  library: Library,
  byteLevel: boolean,
  added: readonly AddedToken[],
): { readonly ids: ReadonlyMap<string, number>; encode(words: string[]): number[] } {
  if (isBpe(json['model'])) {
    const special = new Set(added.flatMap(token => (token.special ? [token.content] : [])))
    const bpe = openBpe(source, json['model'], { byteLevel, special })
    return { ids: bpe.ids, encode: words => words.flatMap(word => bpe.encode(word)) }
  }
  const { tokens_to_ids: ids, unk_token: unknown } = library.model
  const unknownId = unknown == null ? undefined : ids.get(unknown)
  for (const { content, special } of added) if (special && content !== unknown) ids.delete(content)
  return { ids, encode: words => library.model(words).flatMap(token => ids.get(token) ?? unknownId ?? []) }
}

function isBpe(model: unknown): model is JsonObject {
  return isObject(model) && model['type'] === 'BPE'
}

/** The ids that stand around a text. */
function frameOf(
  source: string,
  library: Library,
  idOf: (token: string) => number | undefined,
): { readonly before: readonly number[]; readonly after: readonly number[] } {
  const tokens = library.post_processor === null ? [TEXT] : library.post_processor([TEXT], null, true).tokens
  const at = tokens.indexOf(TEXT)
  const found = (part: readonly string[]): number[] =>
    part.map(token => {
      const id = idOf(token)
      if (id === undefined) throw new ModelError(`${source}: post_processor puts "${shown(token)}", which is no token`)
      return id
    })
  return { before: found(tokens.slice(0, at)), after: found(tokens.slice(at + 1)) }
}

/** See {@link Tokenizer.maxTokenBytes}. */
function longestToken(
  json: JsonObject,
  byteLevel: boolean,
  tokens: Iterable<string>,
  added: readonly AddedToken[],
): number {
  if (!isBpe(json['model'])) return Infinity
  let longest = 0
  for (const token of tokens) longest = Math.max(longest, byteLevel ? token.length : Buffer.byteLength(token))
  for (const { content } of added) longest = Math.max(longest, Buffer.byteLength(content))
  return json['normalizer'] == null ? longest : longest * SHORTENED_BY_NORMALISER
}
