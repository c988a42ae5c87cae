import { inspect } from 'node:util'
import { SchemaError } from './errors.ts'
import type { Prompt } from './events.ts'

/** A Kafka record is 1 MB by default, and no base model reads a tenth of this. */
const MAX_TEXT_BYTES = 1_048_576
/** The longest context of the supported families. */
const MAX_TOKENS = 131_072
/** Token ids are int32 in the vocabularies of all known tokenizers. */
const MAX_TOKEN_ID = 2 ** 31 - 1
/** Ids travel through headers, logs and file names. */
const MAX_ID_LENGTH = 1024
/** Each stop text is searched for at every token. */
const MAX_STOPS = 8
const MAX_STOP_LENGTH = 128
/** Every adapter of a mix costs memory and a pass through its matrices. */
const MAX_ADAPTERS = 64
/** Adapters are trained at 1, negative ones take away; a thousand times that only makes numbers that no model can use. */
const MAX_WEIGHT = 1000
/** Out-of-pool evaluation leaves out a task's adapters, or all but some. */
const MAX_EXCLUDED = 10_000
/** Metadata is carried through memory and back: 64 short texts, not documents. */
const MAX_METADATA = 64
const MAX_METADATA_KEY_LENGTH = 256
const MAX_METADATA_VALUE_LENGTH = 8192
/** A value in an error message: enough to recognise it. */
const MAX_SHOWN = 40

/** Says what is wrong with a value: which field it is, what was found, what was expected. */
type Rule = (value: unknown, field: string) => string | undefined

const adapterId: Rule = (value, field) =>
  expect(
    typeof value === 'string' && /^[A-Za-z0-9._-]{1,128}$/.test(value),
    value,
    field,
    'an adapter id, [A-Za-z0-9._-]{1,128}',
  )

/** One rule a field; the compiler sees to it that none is missing. */
const rules: { readonly [Field in keyof Required<Prompt>]: Rule } = {
  id: string(1, MAX_ID_LENGTH),
  text: utf8(MAX_TEXT_BYTES),
  system: utf8(MAX_TEXT_BYTES),
  maxTokens: integer(1, MAX_TOKENS),
  temperature: (value, field) =>
    expect(typeof value === 'number' && value >= 0 && Number.isFinite(value), value, field, 'a finite number from 0'),
  topP: (value, field) =>
    expect(typeof value === 'number' && value > 0 && value <= 1, value, field, 'a number above 0 and at most 1'),
  topK: integer(0, MAX_TOKEN_ID),
  seed: (value, field) => expect(Number.isSafeInteger(value), value, field, 'an integer of magnitude below 2^53'),
  stop: list(0, MAX_STOPS, string(1, MAX_STOP_LENGTH)),
  ignoreEos: (value, field) => expect(typeof value === 'boolean', value, field, 'true or false'),
  adapters: list(0, MAX_ADAPTERS, namedAdapter),
  exclude: list(0, MAX_EXCLUDED, adapterId),
  strategy: (value, field) =>
    expect(
      value === 'base' || value === 'selection' || value === 'mixture' || value === 'fusion' || value === 'adaptive',
      value,
      field,
      'base, selection, mixture, fusion or adaptive',
    ),
  k: integer(1, MAX_ADAPTERS),
  metadata,
  tokens: list(1, MAX_TOKENS, integer(0, MAX_TOKEN_ID)),
}

/**
 * The prompt that a decoded value is, whether it came from Avro or from JSON: every field of the right type and in range,
 * none unknown but those in `extra` (which it leaves alone and out). A field that is null is absent. Empty text is a
 * prompt; with `tokens`, text may be left out, and then serves retrieval only. Throws SchemaError that names the field,
 * what was found and what was expected.
 */
export function parsePrompt(value: unknown, extra: readonly string[] = []): Prompt {
  if (!isRecord(value)) throw new SchemaError(`Prompt is ${show(value)}, expected an object`)
  const fields: Record<string, unknown> = {}
  for (const name of Object.keys(value)) {
    const field = value[name]
    if (extra.includes(name) || field === null || field === undefined) continue
    if (!isField(name))
      throw new SchemaError(`Prompt has a field ${show(name)}, expected ${Object.keys(rules).join(', ')}`)
    const problem = rules[name](field, `Prompt.${name}`)
    if (problem !== undefined) throw new SchemaError(problem)
    fields[name] = name === 'adapters' ? withoutNulls(field) : field
  }
  if (fields['tokens'] !== undefined) fields['text'] ??= ''
  if (!isPrompt(fields)) throw new SchemaError('Prompt.text is missing, expected a string')
  return fields
}

/** Every field that is there has passed its rule, so what remains is the only one that must be there. */
function isPrompt(fields: Readonly<Record<string, unknown>>): fields is Prompt {
  return fields['text'] !== undefined
}

function isField(name: string): name is keyof Prompt {
  return Object.hasOwn(rules, name)
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function expect(holds: boolean, value: unknown, field: string, expected: string): string | undefined {
  return holds ? undefined : `${field} is ${show(value)}, expected ${expected}`
}

function integer(min: number, max: number): Rule {
  return (value, field) =>
    expect(
      typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max,
      value,
      field,
      `an integer from ${min} to ${max}`,
    )
}

function string(min: number, max: number): Rule {
  return (value, field) =>
    expect(
      typeof value === 'string' && value.length >= min && value.length <= max && isUnicode(value),
      value,
      field,
      `a Unicode string of ${min} to ${max} characters`,
    )
}

function utf8(maxBytes: number): Rule {
  return (value, field) =>
    expect(
      typeof value === 'string' && value.length <= maxBytes && Buffer.byteLength(value) <= maxBytes && isUnicode(value),
      value,
      field,
      `a Unicode string of at most ${maxBytes} bytes`,
    )
}

function list(min: number, max: number, rule: Rule): Rule {
  return (value, field) => {
    if (!Array.isArray(value) || value.length < min || value.length > max)
      return expect(false, value, field, `an array of ${min} to ${max}`)
    for (const [index, item] of value.entries()) {
      const problem = rule(item, `${field}[${index}]`)
      if (problem !== undefined) return problem
    }
    return undefined
  }
}

function namedAdapter(value: unknown, field: string): string | undefined {
  if (!isRecord(value)) return expect(false, value, field, 'an object with an id')
  for (const name of Object.keys(value))
    if (name !== 'id' && name !== 'weight') return `${field} has a field ${show(name)}, expected id, weight`
  const weight = value['weight']
  return (
    adapterId(value['id'], `${field}.id`) ??
    expect(
      weight === null || weight === undefined || (typeof weight === 'number' && Math.abs(weight) <= MAX_WEIGHT),
      weight,
      `${field}.weight`,
      `a number from -${MAX_WEIGHT} to ${MAX_WEIGHT}`,
    )
  )
}

function metadata(value: unknown, field: string): string | undefined {
  if (!isRecord(value) || Object.keys(value).length > MAX_METADATA)
    return expect(false, value, field, `an object of at most ${MAX_METADATA} strings`)
  for (const [key, text] of Object.entries(value)) {
    const problem =
      string(0, MAX_METADATA_KEY_LENGTH)(key, `a key of ${field}`) ??
      string(0, MAX_METADATA_VALUE_LENGTH)(text, `${field}[${show(key)}]`)
    if (problem !== undefined) return problem
  }
  return undefined
}

/** Named adapters, a null weight left out. */
function withoutNulls(adapters: unknown): unknown {
  if (!Array.isArray(adapters)) return adapters
  return adapters.map((adapter: unknown) =>
    isRecord(adapter) && adapter['weight'] === null ? { id: adapter['id'] } : adapter,
  )
}

/** Lone surrogates cannot be written as UTF-8. */
function isUnicode(text: string): boolean {
  return !/\p{Surrogate}/u.test(text)
}

function show(value: unknown): string {
  if (value === undefined) return 'missing'
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  if (typeof value !== 'string') return inspect(value)
  return value.length <= MAX_SHOWN
    ? JSON.stringify(value)
    : `${JSON.stringify(value.slice(0, MAX_SHOWN))}… (${value.length} characters)`
}
