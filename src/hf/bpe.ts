import { ModelError, UnsupportedModelError } from '../errors.ts'
import { symbolsWithout } from './byte-level.ts'
import { isObject, shown, type JsonObject } from './json.ts'

/** A BPE vocabulary, and its way from words to ids. */
export type Bpe = { readonly ids: ReadonlyMap<string, number>; encode(word: string): number[] }

/** Ids index the embedding, whose rows are bounded likewise. */
const MAX_TOKEN_ID = 4_194_303

/** Ranks and places share a number in the heap, which is exact up to 2⁵³. */
const PLACES = 2 ** 30

/**
 * Byte pair encoding as the reference implementation does it (`tokenizers/src/models/bpe`): a word's symbols are merged
 * in order of rank, leftmost first, in O(n log n) for a word of n symbols. This is not left to the library, whose own
 * takes 12 µs a symbol and keeps neighbours of a symbol without a token from merging. `source` names the file.
 * @throws ModelError when vocabulary and merges do not fit; UnsupportedModelError for variants that are not supported.
 */
export function openBpe(
  source: string,
  model: JsonObject,
  options: {
    /** Words come in byte symbols. */
    readonly byteLevel: boolean
    /** Tokens that no word is, even where whole words count before merges. */
    readonly special: ReadonlySet<string>
  },
): Bpe {
  for (const key of ['dropout', 'continuing_subword_prefix', 'end_of_word_suffix']) {
    if (model[key] == null || model[key] === '') continue
    throw new UnsupportedModelError(`${source}: model.${key} is ${shown(model[key])}, expected none`)
  }
  const ids = parseVocabulary(source, model['vocab'])
  const merges = parseMerges(source, model['merges'], ids)
  const unknown = typeof model['unk_token'] === 'string' ? ids.get(model['unk_token']) : undefined
  const fused = model['fuse_unk'] === true
  const whole = model['ignore_merges'] === true
  const bytes = model['byte_fallback'] === true ? byteTokens(ids) : null
  // Without a token for the unknown such bytes are dropped, and their neighbours can merge.
  const dropped = options.byteLevel && unknown === undefined ? symbolsWithout(ids) : null

  function symbolIds(word: string): number[] {
    const symbols: number[] = []
    for (const symbol of word) {
      const id = ids.get(symbol)
      if (id !== undefined) symbols.push(id)
      else if (bytes !== null) for (const byte of Buffer.from(symbol)) symbols.push(bytes[byte] ?? 0)
      else if (unknown !== undefined && !(fused && symbols.at(-1) === unknown)) symbols.push(unknown)
    }
    return symbols
  }

  return {
    ids,
    encode(word) {
      const id = whole && !options.special.has(word) ? ids.get(word) : undefined
      if (id !== undefined) return [id]
      return mergeAll(symbolIds(dropped === null ? word : word.replaceAll(dropped, '')), merges)
    },
  }
}

/** A merge of two ids, by both: the earlier in the list, the sooner. */
type Merges = ReadonlyMap<number, { readonly rank: number; readonly id: number }>

const pairOf = (left: number, right: number): number => left * (MAX_TOKEN_ID + 1) + right

function mergeAll(symbols: number[], merges: Merges): number[] {
  const next = symbols.map((_, at) => at + 1)
  const previous = symbols.map((_, at) => at - 1)
  const heap: number[] = []
  const offer = (at: number): void => {
    const right = symbols[next[at] ?? symbols.length]
    const merge = right === undefined ? undefined : merges.get(pairOf(symbols[at] ?? 0, right))
    if (merge !== undefined) push(heap, merge.rank * PLACES + at)
  }
  for (let at = 0; at + 1 < symbols.length; at++) offer(at)

  for (let key = pop(heap); key !== undefined; key = pop(heap)) {
    const at = key % PLACES
    const eaten = next[at] ?? symbols.length
    const merge = merges.get(pairOf(symbols[at] ?? GONE, symbols[eaten] ?? GONE))
    // One of the two has been merged with another neighbour since.
    if (merge === undefined || merge.rank !== (key - at) / PLACES) continue
    symbols[at] = merge.id
    symbols[eaten] = GONE
    const after = next[eaten] ?? symbols.length
    next[at] = after
    if (after < symbols.length) previous[after] = at
    const before = previous[at] ?? -1
    if (before >= 0) offer(before)
    offer(at)
  }
  return symbols.filter(id => id !== GONE)
}

/** In place of a symbol that has become part of the one before it; no pair has it. */
const GONE = -1

/** Puts a number into a binary heap. */
function push(heap: number[], value: number): void {
  let at = heap.length
  while (at > 0) {
    const parent = (at - 1) >> 1
    const above = heap[parent] ?? 0
    if (above <= value) break
    heap[at] = above
    at = parent
  }
  heap[at] = value
}

/** Takes the least number out of a binary heap. */
function pop(heap: number[]): number | undefined {
  const least = heap[0]
  const value = heap.pop()
  if (value === undefined || heap.length === 0) return least
  let at = 0
  for (;;) {
    const left = 2 * at + 1
    const child = (heap[left + 1] ?? Infinity) < (heap[left] ?? Infinity) ? left + 1 : left
    const below = heap[child] ?? Infinity
    if (below >= value) break
    heap[at] = below
    at = child
  }
  heap[at] = value
  return least
}

function parseVocabulary(source: string, value: unknown): ReadonlyMap<string, number> {
  if (!isObject(value)) throw new ModelError(`${source}: model.vocab is ${shown(value)}, expected an object`)
  const ids = new Map<string, number>()
  for (const [token, id] of Object.entries(value)) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > MAX_TOKEN_ID) {
      const expected = `expected an integer from 0 to ${MAX_TOKEN_ID}`
      throw new ModelError(`${source}: the id of token "${shown(token)}" is ${shown(id)}, ${expected}`)
    }
    ids.set(token, id)
  }
  return ids
}

/** Merges are pairs, or in older files one string with a space between. */
function parseMerges(source: string, value: unknown, ids: ReadonlyMap<string, number>): Merges {
  if (!Array.isArray(value)) throw new ModelError(`${source}: model.merges is ${shown(value)}, expected a list`)
  const merges = new Map<number, { rank: number; id: number }>()
  for (const [rank, entry] of value.entries()) {
    const pair: unknown = typeof entry === 'string' ? entry.split(' ') : entry
    const [left, right] = Array.isArray(pair) && pair.length === 2 ? pair.map(String) : []
    const leftId = ids.get(left ?? '')
    const rightId = ids.get(right ?? '')
    const id = ids.get(`${left}${right}`)
    if (leftId === undefined || rightId === undefined || id === undefined) {
      throw new ModelError(`${source}: model.merges[${rank}] is ${shown(entry)}, expected two tokens that make a third`)
    }
    const key = pairOf(leftId, rightId)
    if (!merges.has(key)) merges.set(key, { rank, id })
  }
  return merges
}

/** The tokens `<0x00>` to `<0xFF>`; `null` when one is missing. */
function byteTokens(ids: ReadonlyMap<string, number>): readonly number[] | null {
  const tokens: number[] = []
  for (let byte = 0; byte < 256; byte++) {
    const id = ids.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
    if (id === undefined) return null
    tokens.push(id)
  }
  return tokens
}
