/** A text as counted features: hashed ids, each once, and how often it occurs. Words and characters apart. */
export type TextFeatures = { readonly words: Counts; readonly characters: Counts }

/** The first `size` of each. */
export type Counts = { readonly ids: Uint16Array; readonly times: Uint16Array; readonly size: number }

/** Ids are below this. Twice as many change no result by more than chance, and the weights of an adapter are as many. */
export const FEATURES = 8192

/** Words of a text that are read: half from its beginning, half from its end, where instructions stand. */
const MAX_WORDS = 96

/** Characters whose sequences are read, at either end: task templates begin and end a prompt, its content is between. */
const END_CHARACTERS = 128

/** Longer sequences are rarer than twenty samples can tell. */
const LONGEST_SEQUENCE = 3

/** The next word, line's end, or mark; or space within a line, which is none. One follows the other. */
const NEXT = /\n|[\p{L}\p{M}\p{N}_]+|[^\s\p{L}\p{M}\p{N}_]|[^\S\n]+/uy

const BLANK = /^[^\S\n]/

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
  wordCounter.end()
  characterCounter.end()
  return passing
}

const kept = ({ ids, times, size }: Counts): Counts => ({ ids: ids.slice(0, size), times: times.slice(0, size), size })

function countWords(text: string): void {
  let before = hash('<s>')
  wordCounter.add(fold(before))
  const [head, tail] =
    text.length <= 2 * WORD_CHARACTERS
      ? [text.toLowerCase(), undefined]
      : [text.slice(0, WORD_CHARACTERS).toLowerCase(), text.slice(-WORD_CHARACTERS).toLowerCase()]
  let found = findWords(head)
  const isWhole = tail === undefined && found <= MAX_WORDS
  before = countBetween(head, 0, isWhole ? found : Math.min(found, MAX_WORDS / 2), before)
  if (tail !== undefined) found = findWords(tail)
  if (!isWhole) before = countBetween(tail ?? head, Math.max(0, found - MAX_WORDS / 2), found, before)
  countWord('</s>', 0, 4, before)
}

/** Counts the words `[first, end)` of those that were found last; answers with the last one's hash. */
function countBetween(text: string, first: number, end: number, last: number): number {
  let before = last
  for (let at = first; at < end; at += 1) {
    const [from, to] = [starts[at] ?? 0, ends[at] ?? 0]
    before = isNumber(text, from, to) ? countWord('0', 0, 1, before) : countWord(text, from, to, before)
  }
  return before
}

/** Counts a word and its pair with the one before it; answers with its hash. */
function countWord(text: string, from: number, to: number, before: number): number {
  const id = hash(text, from, to)
  wordCounter.add(fold(id))
  wordCounter.add(fold(Math.imul(before, 0x9e3779b1) ^ id))
  return id
}

/** Fills {@link starts} and {@link ends}, and answers with how many words there are: strings of their own would be left behind. */
function findWords(text: string): number {
  let count = 0
  NEXT.lastIndex = 0
  for (let from = 0; from < text.length; from = NEXT.lastIndex) {
    // It matches at every place; where it did not, the loop would begin anew.
    if (!NEXT.test(text)) break
    if (isBlank(text, from)) continue
    starts[count] = from
    ends[count] = NEXT.lastIndex
    count += 1
  }
  return count
}

/** One character in lower case is two at most. */
const starts = new Uint16Array(4 * WORD_CHARACTERS)
const ends = new Uint16Array(4 * WORD_CHARACTERS)

/** Characters below this are looked up by their code: most are. */
const ASCII = 0x80

function isBlank(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  return code < ASCII ? code === 32 || (code >= 9 && code <= 13 && code !== 10) : BLANK.test(text.charAt(at))
}

function isNumber(text: string, from: number, to: number): boolean {
  const code = text.charCodeAt(from)
  return (code >= ASCII || (code >= 48 && code <= 57)) && NUMBER.test(text.slice(from, to))
}

function countCharacters(text: string): void {
  const whole = text.length <= 2 * END_CHARACTERS
  const both = whole ? text : `${text.slice(0, END_CHARACTERS)} ${text.slice(-END_CHARACTERS)}`
  const read = ` ${both.replace(SPACE, ' ')} `
  for (let start = 0; start < read.length; start += 1) {
    let state = 0x2545f491
    for (let length = 1; length <= LONGEST_SEQUENCE && start + length <= read.length; length += 1) {
      state = Math.imul(state ^ read.charCodeAt(start + length - 1), 0x01000193)
      characterCounter.add(fold(state + length))
    }
  }
}

/** FNV-1a, over the UTF-16 code units of a part. */
function hash(text: string, from = 0, to = text.length): number {
  let state = 0x811c9dc5
  for (let at = from; at < to; at += 1) state = Math.imul(state ^ text.charCodeAt(at), 0x01000193)
  return state
}

/** The last mixing steps of MurmurHash3, then as many bits as there are features. */
function fold(state: number): number {
  let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) & (FEATURES - 1)
}

/** Counts the features of one text after the other, and leaves nothing behind: prompts come by the window. */
class Counter implements Counts {
  readonly ids = new Uint16Array(FEATURES)
  readonly times = new Uint16Array(FEATURES)
  size = 0
  /** By feature. */
  readonly #counted = new Uint16Array(FEATURES)
  #isAtEnd = false

  add(id: number): void {
    if (this.#isAtEnd) {
      this.#isAtEnd = false
      this.size = 0
    }
    const before = this.#counted[id] ?? 0
    if (before === 0) {
      this.ids[this.size] = id
      this.size += 1
    }
    this.#counted[id] = before + 1
  }

  /** What was counted is there to be read, until more is: the next text begins. */
  end(): void {
    for (let at = 0; at < this.size; at += 1) {
      const id = this.ids[at] ?? 0
      this.times[at] = this.#counted[id] ?? 0
      this.#counted[id] = 0
    }
    this.#isAtEnd = true
  }
}

const wordCounter = new Counter()
const characterCounter = new Counter()
const passing: TextFeatures = { words: wordCounter, characters: characterCounter }
