/** A text as counted features: hashed ids in rising order, and how often each occurs. Words and characters apart. */
export type TextFeatures = { readonly words: Counts; readonly characters: Counts }

export type Counts = { readonly ids: Uint16Array; readonly times: Uint16Array }

/** Ids are below this. Twice as many change no result by more than chance, and the weights of an adapter are as many. */
export const FEATURES = 8192

/** Words of a text that are read: half from its beginning, half from its end, where instructions stand. */
const MAX_WORDS = 96

/** Characters whose sequences are read, at either end: task templates begin and end a prompt, its content is between. */
const END_CHARACTERS = 128

/** Longer sequences are rarer than twenty samples can tell. */
const LONGEST_SEQUENCE = 3

/** A word, a line's end, or one mark. */
const WORDS = /\n|[\p{L}\p{M}\p{N}_]+|[^\s\p{L}\p{M}\p{N}_]/gu

const NUMBER = /^\p{N}+$/u

/** Space within a line that is not one blank already. */
const SPACE = / [^\S\n]+|[^\S\n ][^\S\n]*/g

/** Characters that are enough for {@link MAX_WORDS} words at one end, unless they are hardly words. */
const WORD_CHARACTERS = 2048

/**
 * Single words and pairs of neighbours, in lower case, numbers alike; and sequences of one to three characters from both
 * ends, as they are, so that scripts without spaces have features too. Any text has some: an empty one has its two ends.
 */
export function textFeatures(text: string): TextFeatures {
  return { words: counted(wordIds(text)), characters: counted(characterIds(text)) }
}

function wordIds(text: string): number[] {
  const ids: number[] = []
  let before = hash('<s>')
  ids.push(fold(before))
  for (const word of wordsOf(text)) add(NUMBER.test(word) ? '0' : word)
  add('</s>')
  return ids

  function add(word: string): void {
    const id = hash(word)
    ids.push(fold(id), fold(Math.imul(before, 0x9e3779b1) ^ id))
    before = id
  }
}

function wordsOf(text: string): readonly string[] {
  if (text.length <= 2 * WORD_CHARACTERS) return middleCut(text.toLowerCase().match(WORDS) ?? [])
  const [head, tail] = [text.slice(0, WORD_CHARACTERS), text.slice(-WORD_CHARACTERS)]
  const [first, last] = [head, tail].map(part => part.toLowerCase().match(WORDS) ?? [])
  return [...(first ?? []).slice(0, MAX_WORDS / 2), ...(last ?? []).slice(-MAX_WORDS / 2)]
}

function middleCut(words: readonly string[]): readonly string[] {
  return words.length <= MAX_WORDS ? words : [...words.slice(0, MAX_WORDS / 2), ...words.slice(-MAX_WORDS / 2)]
}

function characterIds(text: string): number[] {
  const whole = text.length <= 2 * END_CHARACTERS
  const ends = whole ? text : `${text.slice(0, END_CHARACTERS)} ${text.slice(-END_CHARACTERS)}`
  const read = ` ${ends.replace(SPACE, ' ')} `
  const ids: number[] = []
  for (let start = 0; start < read.length; start += 1) {
    let state = 0x2545f491
    for (let length = 1; length <= LONGEST_SEQUENCE && start + length <= read.length; length += 1) {
      state = Math.imul(state ^ read.charCodeAt(start + length - 1), 0x01000193)
      ids.push(fold(state + length))
    }
  }
  return ids
}

/** FNV-1a, over UTF-16 code units. */
function hash(word: string): number {
  let state = 0x811c9dc5
  for (let at = 0; at < word.length; at += 1) state = Math.imul(state ^ word.charCodeAt(at), 0x01000193)
  return state
}

/** The last mixing steps of MurmurHash3, then as many bits as there are features. */
function fold(state: number): number {
  let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) & (FEATURES - 1)
}

/** Zeros, between calls. */
const counts = new Uint16Array(FEATURES)

function counted(found: readonly number[]): Counts {
  const different: number[] = []
  for (const id of found) {
    const before = counts[id] ?? 0
    if (before === 0) different.push(id)
    counts[id] = before + 1
  }
  const ids = new Uint16Array(different).toSorted()
  const times = new Uint16Array(ids.length)
  for (let at = 0; at < ids.length; at += 1) {
    const id = ids[at] ?? 0
    times[at] = counts[id] ?? 0
    counts[id] = 0
  }
  return { ids, times }
}
