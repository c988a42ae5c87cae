import { randomBytes } from 'node:crypto'
import { asyncScheduler, Observable, type OperatorFunction, type Subscription } from 'rxjs'
import { ConfigError } from '../errors.ts'
import type { ClosedBy, Message, Placed, Prompt, Window } from '../events.ts'
import { defaultMaxTokens, originId } from '../row.ts'

/** A window is one forward pass: its rows' KV caches are in memory together. */
const MAX_SIZE = 4096
/** setTimeout fires at once above this. */
const MAX_MS = 2 ** 31 - 1
/** English takes about four bytes a token in the vocabularies of today's models; other scripts take more tokens. */
const BYTES_PER_TOKEN = 4

export type WindowOptions<P extends Prompt> = {
  /** Events at most. */
  readonly size: number
  /** Milliseconds after its first event that a window closes at the latest. */
  readonly ms: number
  /** Tokens at most, as `cost` counts them; by default without limit. */
  readonly tokens?: number
  /**
   * Tokens that an event will take, prompt and new ones. By default `maxTokens` and the prompt's UTF-8 bytes / 4: an estimate,
   * because only the engine has the tokenizer and its template, and an answer may end early. It evens out the work of
   * windows; what must fit the context is the engine's to check.
   */
  readonly cost?: (message: Message<P>) => number
  /** Names this instance in window ids, for two may begin with the same event after a crash. By default random. */
  readonly tag?: string
}

/**
 * Gathers events until there are `size` of them, until `ms` after the first, or until another would not fit `tokens`,
 * whichever comes first; at the end, the remainder. An event of more than `tokens` has a window to itself. Order is kept.
 * Its id is the first event's origin and the instance's tag. Throws ConfigError for options out of range.
 */
export function window<P extends Prompt>(options: WindowOptions<P>): OperatorFunction<Message<P>, Window<Placed<P>>> {
  const { size, ms, tokens = Infinity, tag = randomBytes(4).toString('hex') } = options
  // Where nothing bounds it, an estimate is not worth its time.
  const { cost = tokens === Infinity ? () => 0 : estimate } = options
  check('size', size, Number.isInteger(size) && size >= 1 && size <= MAX_SIZE, `an integer from 1 to ${MAX_SIZE}`)
  check('ms', ms, ms >= 0 && ms <= MAX_MS, `0 to ${MAX_MS}`)
  check('tokens', tokens, tokens >= 1, 'a number from 1')

  return source =>
    new Observable(subscriber => {
      let open: Message<P>[] = []
      let spent = 0
      let timer: Subscription | undefined

      const subscription = source.subscribe({
        next(message) {
          const price = cost(message)
          if (!(price >= 0)) return subscriber.error(new ConfigError(`window: cost is ${price}, expected 0 or more`))
          if (open.length > 0 && spent + price > tokens) close('TOKENS')
          open.push(message)
          spent += price
          if (open.length >= size) close('SIZE')
          else if (spent >= tokens) close('TOKENS')
          else timer ??= asyncScheduler.schedule(() => close('TIME'), ms)
        },
        error: error => subscriber.error(error),
        complete() {
          if (open.length > 0) close('END')
          subscriber.complete()
        },
      })
      return () => {
        subscription.unsubscribe()
        timer?.unsubscribe()
      }

      function close(closedBy: ClosedBy): void {
        const messages = open
        timer?.unsubscribe()
        timer = undefined
        open = []
        spent = 0
        subscriber.next(toWindow(messages, closedBy, tag))
      }
    })
}

function toWindow<P extends Prompt>(
  messages: readonly Message<P>[],
  closedBy: ClosedBy,
  tag: string,
): Window<Placed<P>> {
  const now = performance.now()
  return {
    id: messages[0] === undefined ? tag : `${originId(messages[0].origin)}.${tag}`,
    closedBy,
    size: messages.length,
    // Field by field: a spread takes three times as long.
    items: messages.map(({ value, origin, key, headers, receivedAt }, row) => ({
      value,
      origin,
      key,
      headers,
      receivedAt,
      row,
      queuedMs: now - receivedAt,
    })),
    failed: [],
    ms: {},
  }
}

function estimate({ value: { text, system = '', tokens, maxTokens = defaultMaxTokens } }: Message<Prompt>): number {
  const prompt = tokens?.length ?? Math.ceil((Buffer.byteLength(text) + Buffer.byteLength(system)) / BYTES_PER_TOKEN)
  return prompt + maxTokens
}

function check(option: string, found: number, holds: boolean, expected: string): void {
  if (!holds) throw new ConfigError(`window: ${option} is ${found}, expected ${expected}`)
}
