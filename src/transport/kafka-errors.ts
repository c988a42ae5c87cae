import { setMaxListeners } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { LorastreamError, TransportError } from '../errors.ts'
import type { Retrying } from '../ports.ts'

const FIRST_WAIT_MS = 100
/** A broker that is restarted takes some ten seconds; nobody wants to wait much longer for what is there again. */
const MAX_WAIT_MS = 5_000

/** Kafka's codes 47 and 90: a newer writer has the same transactional id. */
const fenced = new Set(['INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED'])

/** What no waiting mends. Authorisation is not among them: it is often being fixed. */
const hopeless = new Set([
  'INCONSISTENT_GROUP_PROTOCOL',
  'INVALID_GROUP_ID',
  'INVALID_SESSION_TIMEOUT',
  'INVALID_TOPIC_EXCEPTION',
  'INVALID_TRANSACTION_TIMEOUT',
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'SASL_AUTHENTICATION_FAILED',
  'UNSUPPORTED_FOR_MESSAGE_FORMAT',
  'UNSUPPORTED_SASL_MECHANISM',
  'UNSUPPORTED_VERSION',
  'KafkaJSNotImplemented',
  'KafkaJSSASLAuthenticationError',
  'KafkaJSServerDoesNotSupportApiKey',
])

/** Node's and OpenSSL's codes for certificates that one side does not take. */
const distrust =
  /^(ERR_TLS_CERT_|ERR_SSL_\w*ALERT_\w*(CERTIFICATE|UNKNOWN_CA)|SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_(GET_ISSUER|VERIFY)|CERT_)/

/** Whether another writer has taken over. */
export function isFenced(error: unknown): boolean {
  return kinds(error).some(kind => fenced.has(kind))
}

/** Whether the transaction before it is still ending. */
export function isConcurrent(error: unknown): boolean {
  return kinds(error).includes('CONCURRENT_TRANSACTIONS')
}

/** Whether the consumer's position is outside of what the broker has. */
export function isOutOfRange(error: unknown): boolean {
  return kinds(error).includes('OffsetOutOfRange')
}

/** Whether trying again may help: an error of the broker's or the network's, or a codec that is out of reach. */
export function isTransient(error: unknown): boolean {
  if (error instanceof LorastreamError) return error instanceof TransportError
  return !kinds(error).some(kind => hopeless.has(kind) || distrust.test(kind))
}

/** Names, protocol types and codes of an error and of its causes. */
function kinds(error: unknown): readonly string[] {
  const found: string[] = []
  for (let at = error; at instanceof Error && found.length < 20; at = at.cause) {
    found.push(at.name)
    if ('type' in at && typeof at.type === 'string') found.push(at.type)
    if ('code' in at && typeof at.code === 'string') found.push(at.code)
    if ('code' in at && at.code === 90) found.push('PRODUCER_FENCED')
  }
  return found
}

/** What a message says of an error of kafkajs's. OpenSSL's have a number, a routine and a line of its source around it. */
export function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.replace(/\b[0-9A-F]+:error:[0-9A-F]+:SSL routines:\w*:([^:]*):[^]*$/, 'TLS: $1')
}

/** What is being tried again, for whoever asks: by what was tried, since when, how often, and why. */
export type Troubles = Map<string, Retrying>

/** Tries things until they succeed. */
export class Persistence {
  readonly #log: (line: string) => void
  readonly #end: AbortSignal
  readonly #troubles: Troubles

  /** After `end` nothing is tried again. */
  constructor(log: (line: string) => void, end: AbortSignal, troubles: Troubles) {
    this.#log = log
    this.#end = end
    this.#troubles = troubles
    // Every partition may be waiting.
    setMaxListeners(0, end)
  }

  /**
   * Tries until it succeeds, waiting up to 5 s between attempts and telling of each failure. Throws TransportError for what
   * no waiting mends, and at the end; errors of ours as they are.
   */
  async until<T>(what: string, attempt: () => Promise<T>): Promise<T> {
    for (let count = 0; ; count++)
      try {
        const value = await attempt()
        if (count > 0) this.over(what)
        return value
      } catch (error) {
        await this.wait(what, error, count)
      }
  }

  /** It succeeded, or is not tried any more. */
  over(what: string): void {
    this.#troubles.delete(what)
  }

  /**
   * Tells of a failure and waits, the longer the more there were before it; throws where `until` does. Whoever calls it tells
   * when it is over.
   */
  async wait(what: string, error: unknown, count: number): Promise<void> {
    const { since = Date.now(), attempts = 0 } = this.#troubles.get(what) ?? {}
    this.over(what)
    if (!isTransient(error) || this.#end.aborted) throw wrapped(what, error)
    this.#troubles.set(what, { what, reason: reasonOf(error), since, attempts: attempts + 1 })
    const ms = Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(count, 10)) * (0.75 + Math.random() / 2)
    this.#log(`${what}: ${reasonOf(error)}; trying again in ${(ms / 1000).toFixed(1)} s`)
    try {
      await setTimeout(ms, undefined, { signal: this.#end })
    } catch {
      this.over(what)
      throw wrapped(what, error)
    }
  }
}

function wrapped(what: string, error: unknown): LorastreamError {
  return error instanceof LorastreamError ? error : new TransportError(`${what}: ${reasonOf(error)}`, { cause: error })
}
