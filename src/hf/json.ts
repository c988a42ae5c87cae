import type { LorastreamError } from '../errors.ts'

/** Makes the error to throw: the caller knows whether the file is an adapter's or a model's. */
export type Fail = (message: string, options?: { readonly cause?: unknown }) => LorastreamError

/**
 * The JSON object in `bytes`, which must be valid UTF-8.
 * @throws what `fail` makes; `what` names the file and the part of it.
 */
export function parseJsonObject(what: string, bytes: Uint8Array, fail: Fail): JsonObject {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch (cause) {
    throw fail(`${what} is not JSON in UTF-8`, { cause })
  }
  if (!isObject(value)) throw fail(`${what} is ${shown(value)}, expected a JSON object`)
  return value
}

export type JsonObject = Readonly<Record<string, unknown>>

/** An object that is neither `null` nor an array. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A value from an untrusted file as it may stand in a message: short, on one line. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return `[${value.slice(0, 8).map(shownItem).join(', ')}${value.length > 8 ? ', …' : ''}]`
  return shownItem(value)
}

/** Nothing nested is shown, for it may nest deeper than the stack. */
function shownItem(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (isObject(value)) return 'an object'
  const text = value === undefined ? 'absent' : typeof value === 'string' ? value : JSON.stringify(value)
  return (text.length > 80 ? `${text.slice(0, 80)}…` : text).replaceAll(/\p{Cc}/gu, ' ')
}
