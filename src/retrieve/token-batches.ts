import type { Tokenizer } from '../hf/tokenizer.ts'

/** A text's place among those that were given, and its tokens. */
export type TokenRow = { readonly index: number; readonly tokens: readonly number[] }

/** Texts that are run together, padded to the longest. */
export type TokenBatch = { readonly width: number; readonly rows: readonly TokenRow[] }

/** Tokens of a run with its padding. Larger runs were slower on two cores (4096 by a half) and take more memory. */
const MAX_RUN_TOKENS = 512

/** A first guess of the characters that hold a token; a text of a megabyte is read no further than it must be. */
const CHARACTERS_PER_TOKEN = 8

/** Tokens at the end of a piece of text may change with what follows: a word is at most 100 characters long. */
const UNSURE_TOKENS = 128

/**
 * Sorts texts by length and cuts them into runs, so that little is padding.
 */
export function batchesOf(texts: readonly (readonly number[])[]): readonly TokenBatch[] {
  const batches: { width: number; rows: TokenRow[] }[] = []
  const rows = texts.map((tokens, index) => ({ index, tokens })).toSorted((a, b) => b.tokens.length - a.tokens.length)
  for (const row of rows) {
    const last = batches.at(-1)
    if (last !== undefined && (last.rows.length + 1) * last.width <= MAX_RUN_TOKENS) last.rows.push(row)
    else batches.push({ width: row.tokens.length, rows: [row] })
  }
  return batches
}

/**
 * Tokens of a text as its encoder wants them: cut to `maxTokens`, with the tokens that begin and end a sequence around
 * them, as transformers truncates. Takes time for what is kept, not for what is cut off.
 */
export function cutter(
  tokenizer: Tokenizer,
  { maxTokens, lowerCase }: { readonly maxTokens: number; readonly lowerCase: boolean },
): (text: string) => readonly number[] {
  const frame = tokenizer.encode('', { special: true })
  const before = startOfText(tokenizer)
  const room = maxTokens - frame.length
  return text => {
    const content = firstTokens(tokenizer, lowerCase ? text.toLowerCase() : text, room)
    return [...frame.slice(0, before), ...content, ...frame.slice(before)]
  }
}

/** Reads longer and longer beginnings of a text until enough tokens are sure. */
function firstTokens(tokenizer: Tokenizer, text: string, count: number): readonly number[] {
  for (let length = (count + UNSURE_TOKENS) * CHARACTERS_PER_TOKEN; ; length *= 2) {
    const whole = length >= text.length
    const tokens = tokenizer.encodeParts([{ text: whole ? text : text.slice(0, length), special: true }])
    if (whole || tokens.length >= count + UNSURE_TOKENS) return tokens.slice(0, count)
  }
}

/** How many tokens begin a sequence. */
function startOfText(tokenizer: Tokenizer): number {
  const probe = 'a'
  const [first] = tokenizer.encodeParts([{ text: probe, special: true }])
  const at = first === undefined ? -1 : tokenizer.encode(probe, { special: true }).indexOf(first)
  return Math.max(0, at)
}
