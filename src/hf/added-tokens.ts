import { ModelError, UnsupportedModelError } from '../errors.ts'
import { isObject, shown } from './json.ts'

/** A token that is found in the text before it is cut into words. */
export type AddedToken = {
  readonly id: number
  readonly content: string
  /** Stands for no text: it begins, ends or separates. */
  readonly special: boolean
  /** Swallows white space before it, or after it. */
  readonly lstrip: boolean
  readonly rstrip: boolean
}

/** Some vocabularies reserve thousands. */
const MAX_ADDED_TOKENS = 65_536

/** Ids index the embedding, whose rows are bounded likewise. */
const MAX_TOKEN_ID = 4_194_303

/**
 * The `added_tokens` of a `tokenizer.json`; `source` names it.
 * @throws ModelError when one makes no sense, UnsupportedModelError for a feature that is not supported.
 */
export function parseAddedTokens(source: string, value: unknown): readonly AddedToken[] {
  const entries = value ?? []
  if (!Array.isArray(entries) || entries.length > MAX_ADDED_TOKENS) {
    throw new ModelError(`${source}: added_tokens is no list of at most ${MAX_ADDED_TOKENS} tokens`)
  }
  return entries.map((entry: unknown, index) => {
    const where = `${source}: added_tokens[${index}]`
    if (!isObject(entry)) throw new ModelError(`${where} is ${shown(entry)}, expected an object`)
    const { id, content } = entry
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > MAX_TOKEN_ID) {
      throw new ModelError(`${where}: id is ${shown(id)}, expected an integer from 0 to ${MAX_TOKEN_ID}`)
    }
    if (typeof content !== 'string' || content === '') {
      throw new ModelError(`${where}: content is ${shown(content)}, expected a text`)
    }
    if (entry['single_word'] === true) {
      throw new UnsupportedModelError(`${where}: "${shown(content)}" is a single_word token, which is not supported`)
    }
    const flag = (key: string): boolean => entry[key] === true
    return { id, content, special: flag('special'), lstrip: flag('lstrip'), rstrip: flag('rstrip') }
  })
}

/** Cuts a text at these tokens, the longest first where several begin at one place; empty pieces are left out. */
export function splitter(tokens: readonly AddedToken[]): (text: string) => (string | AddedToken)[] {
  if (tokens.length === 0) return text => (text === '' ? [] : [text])
  const byName = new Map(tokens.map(token => [token.content, token]))
  const names = [...byName.keys()].toSorted((a, b) => b.length - a.length)
  const pattern = new RegExp(
    names.map(name => name.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`)).join('|'),
    'gu',
  )
  return text => {
    const pieces: (string | AddedToken)[] = []
    let end = 0
    for (const match of text.matchAll(pattern)) {
      if (match.index > end) pieces.push(text.slice(end, match.index))
      const token = byName.get(match[0])
      if (token !== undefined) pieces.push(token)
      end = match.index + match[0].length
    }
    if (end < text.length) pieces.push(text.slice(end))
    return pieces
  }
}
