import { parseArgs } from 'node:util'
import { ConfigError } from '../errors.ts'
import { commandName } from './command-name.ts'

/** The options that a command knows: `text` ones take a value, `flags` do not. */
export type Known<Text extends string, Flag extends string> = {
  readonly text: readonly Text[]
  readonly flags: readonly Flag[]
  /** What stands for itself on the command line, by name; all of them must be given. */
  readonly positionals?: readonly string[]
}

/** What was given on a command line. */
export type Given<Text extends string, Flag extends string> = {
  /** The option's value; the last one where it was given twice. */
  text(name: Text): string | undefined
  flag(name: Flag): boolean
  /** Whole numbers from `min` to `max`. */
  integer(name: Text, min: number, max: number): number | undefined
  number(name: Text, min: number, max: number): number | undefined
  oneOf<Value extends string>(name: Text, values: readonly Value[]): Value | undefined
  readonly positionals: readonly string[]
}

/**
 * Reads a command line against what the command knows. Throws ConfigError that names the argument, what was found and what
 * was expected. Node's own strict mode has other messages in every version, so only its tokens are used.
 */
export function readArguments<Text extends string, Flag extends string>(
  command: string,
  args: readonly string[],
  known: Known<Text, Flag>,
): Given<Text, Flag> {
  const names: readonly string[] = [...known.text, ...known.flags]
  const texts = new Map<string, string>()
  const flags = new Set<string>()
  const options: Record<string, { readonly type: 'string' | 'boolean' }> = {}
  for (const name of known.text) options[name] = { type: 'string' }
  for (const name of known.flags) options[name] = { type: 'boolean' }
  const { tokens, positionals } = parseArgs({
    args: [...args],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })

  for (const token of tokens) {
    if (token.kind !== 'option') continue
    const { name, rawName, value } = token
    if (!names.includes(name)) throw new ConfigError(`${rawName} is not an option of "${command}"${hint(name, names)}`)
    const takesValue = known.text.some(text => text === name)
    if (takesValue && (value === undefined || value === ''))
      throw new ConfigError(`--${name} has no value; "${commandName} ${command} --help" says what it takes`)
    if (!takesValue && value !== undefined) throw new ConfigError(`--${name} is "${value}", expected no value`)
    if (value === undefined) flags.add(name)
    else texts.set(name, value)
  }
  const expected = known.positionals ?? []
  const missing = expected[positionals.length]
  if (missing !== undefined)
    throw new ConfigError(`${missing} is missing; "${commandName} ${command} --help" has examples`)
  const extra = positionals[expected.length]
  if (extra !== undefined)
    throw new ConfigError(`"${shorten(extra)}" is one argument too many${expected.length > 0 ? '; quote a text' : ''}`)

  return {
    positionals,
    text: name => texts.get(name),
    flag: name => flags.has(name),
    integer: (name, min, max) =>
      numeric(name, min, max, /^[+-]?\d+$/, `a whole number from ${min} to ${max.toLocaleString('en')}`),
    number: (name, min, max) =>
      numeric(name, min, max, /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i, `a number from ${min} to ${max}`),
    oneOf(name, values) {
      const text = texts.get(name)
      const value = values.find(candidate => candidate === text)
      if (text !== undefined && value === undefined)
        throw new ConfigError(`--${name} is "${shorten(text)}", expected ${alternatives(values)}`)
      return value
    },
  }

  function numeric(name: Text, min: number, max: number, form: RegExp, wanted: string): number | undefined {
    const text = texts.get(name)
    if (text === undefined) return undefined
    const value = Number(text)
    if (form.test(text) && value >= min && value <= max) return value
    throw new ConfigError(`--${name} is "${shorten(text)}", expected ${wanted}`)
  }
}

/** `a, b or c`. */
export function alternatives(values: readonly string[]): string {
  return values.length < 2 ? values.join('') : `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`
}

/** `; did you mean …?` where a known name is near, else nothing. */
export function hint(name: string, names: readonly string[], prefix = '--'): string {
  const near = names
    .map(known => ({ known, distance: known.startsWith(name) && name !== '' ? 0 : distanceOf(name, known) }))
    .filter(({ known, distance }) => distance <= Math.min(2, known.length - 1))
    .toSorted((a, b) => a.distance - b.distance)[0]
  return near === undefined ? '' : `; did you mean ${prefix}${near.known}?`
}

/** A stranger's text in a message: enough to recognise it. */
function shorten(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 57)}…`
}

/** Levenshtein's edit distance, and 99 for texts too long to be a slip. */
function distanceOf(a: string, b: string): number {
  if (a.length > 32) return 99
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, letter] of Array.from(a).entries()) {
    const next = [i + 1]
    for (const [j, other] of Array.from(b).entries()) {
      const swap = (row[j] ?? 99) + (letter === other ? 0 : 1)
      next.push(Math.min(swap, (row[j + 1] ?? 99) + 1, (next[j] ?? 99) + 1))
    }
    row = next
  }
  return row.at(-1) ?? 99
}
