import { isObject, type JsonObject } from './json.ts'

/** The symbols that byte-level vocabularies write bytes as (GPT-2's `bytes_to_unicode`): printable ones as they are. */
const SYMBOLS: readonly string[] = (() => {
  let others = 256
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad)
    return String.fromCharCode(printable ? byte : others++)
  })
})()

const BYTES: ReadonlyMap<string, number> = new Map(SYMBOLS.map((symbol, byte) => [symbol, byte]))

/** The bytes that a token of a byte-level vocabulary is written for. */
export function bytesOf(token: string): Uint8Array {
  return Uint8Array.from(token, symbol => BYTES.get(symbol) ?? 0)
}

/** Whether a `pre_tokenizer` turns text into those symbols. */
export function hasByteLevel(preTokenizer: unknown): boolean {
  if (!isObject(preTokenizer)) return false
  const parts = preTokenizer['pretokenizers']
  return preTokenizer['type'] === 'ByteLevel' || (Array.isArray(parts) && parts.some(hasByteLevel))
}

/** Matches the symbols that no token of a vocabulary has; `null` when it has them all. */
export function symbolsWithout(vocabulary: { has(token: string): boolean }): RegExp | null {
  const missing = SYMBOLS.filter(symbol => !vocabulary.has(symbol))
  if (missing.length === 0) return null
  return new RegExp(`[${missing.map(symbol => `\\u{${symbol.charCodeAt(0).toString(16)}}`).join('')}]`, 'gu')
}

const isolated = (regex: string): JsonObject => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior: 'Isolated',
  invert: false,
})

/** GPT-2's pattern, as ByteLevel has it built in. */
const GPT2_WORDS = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

/**
 * A `pre_tokenizer` spelled out, so that the library reads it as the reference implementation does: its own Digits know
 * ASCII digits only, and its ByteLevel takes JavaScript's white space for Unicode's.
 */
export function exactPreTokenizer(preTokenizer: unknown): unknown {
  if (!isObject(preTokenizer)) return preTokenizer ?? null
  const { type, pretokenizers: parts } = preTokenizer
  if (type === 'Sequence' && Array.isArray(parts)) {
    return { ...preTokenizer, pretokenizers: parts.map(exactPreTokenizer) }
  }
  if (type === 'Digits')
    return isolated(preTokenizer['individual_digits'] === true ? String.raw`\p{N}` : String.raw`\p{N}+`)
  if (type !== 'ByteLevel' || preTokenizer['use_regex'] === false || preTokenizer['add_prefix_space'] === true) {
    return preTokenizer
  }
  return { type: 'Sequence', pretokenizers: [isolated(GPT2_WORDS), { ...preTokenizer, use_regex: false }] }
}
