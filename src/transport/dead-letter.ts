import type { Failed } from '../events.ts'
import type { RawRecord } from '../ports.ts'

/** Brokers bound headers with the record; the whole story is in the log of the process. */
const MAX_REASON_LENGTH = 1000

const text = new TextEncoder()

/**
 * A failed event for the dead-letter topic: key, value and headers as they came, and in `__lorastream.errors.*` headers
 * where it came from, which stage refused it and why (shortened to 1,000 characters).
 */
export function deadLetter(failed: Failed, original: RawRecord): RawRecord {
  const { origin } = failed.message
  const facts = {
    topic: origin.topic,
    partition: String(origin.partition),
    offset: String(origin.offset),
    timestamp: String(origin.timestamp),
    stage: failed.stage,
    code: failed.code,
    message: shorten(failed.reason),
  }
  const headers = Object.entries(facts).map(
    ([name, fact]) => [`__lorastream.errors.${name}`, text.encode(fact)] as const,
  )
  return { ...original, headers: [...original.headers, ...headers] }
}

/** At most 1,000 characters, and a mark where more were cut off. */
export function shorten(reason: string): string {
  return reason.length <= MAX_REASON_LENGTH ? reason : `${reason.slice(0, MAX_REASON_LENGTH - 1)}…`
}
