/** A text as counted features: hashed ids, each once, and how often it occurs. Words and characters apart. */
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
  const { words, characters } = passingFeatures(text)
  return { words: kept(words), characters: kept(characters) }
}

/** The same until the next text is read: for prompts, which come by the window and are compared at once. */
export function passingFeatures(text: string): TextFeatures {
  countWords(text)
  countCharacters(text)
  return { words: wordCounter.take(), characters: characterCounter.take() }
}

const kept = ({ ids, times }: Counts): Counts => ({ ids: ids.slice(), times: times.slice() })

function countWords(text: string): void {
  let before = hash('<s>')
  wordCounter.add(fold(before))
  for (const word of wordsOf(text)) before = countWord(NUMBER.test(word) ? '0' : word, before)
  countWord('</s>', before)
}

/** Counts a word and its pair with the one before it; answers with its hash. */
function countWord(word: string, before: number): number {
  const id = hash(word)
  wordCounter.add(fold(id))
  wordCounter.add(fold(Math.imul(before, 0x9e3779b1) ^ id))
  return id
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

function countCharacters(text: string): void {
  const whole = text.length <= 2 * END_CHARACTERS
  const ends = whole ? text : `${text.slice(0, END_CHARACTERS)} ${text.slice(-END_CHARACTERS)}`
  const read = ` ${ends.replace(SPACE, ' ')} `
  for (let start = 0; start < read.length; start += 1) {
    let state = 0x2545f491
    for (let length = 1; length <= LONGEST_SEQUENCE && start + length <= read.length; length += 1) {
      state = Math.imul(state ^ read.charCodeAt(start + length - 1), 0x01000193)
      characterCounter.add(fold(state + length))
    }
  }
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

/** Counts the features of one text after the other, and leaves little behind: prompts come by the window. */
class Counter {
  readonly #times = new Uint16Array(FEATURES)
  readonly #ids = new Uint16Array(FEATURES)
  readonly #timesOf = new Uint16Array(FEATURES)
  #size = 0

  add(id: number): void {
    const before = this.#times[id] ?? 0
    if (before === 0) {
      this.#ids[this.#size] = id
      this.#size += 1
    }
    this.#times[id] = before + 1
  }

  /** What was counted, until the next is; the next text begins. */
  take(): Counts {
    const size = this.#size
    for (let at = 0; at < size; at += 1) {
      const id = this.#ids[at] ?? 0
      this.#timesOf[at] = this.#times[id] ?? 0
      this.#times[id] = 0
    }
    this.#size = 0
    return { ids: this.#ids.subarray(0, size), times: this.#timesOf.subarray(0, size) }
  }
}

const wordCounter = new Counter()
const characterCounter = new Counter()
