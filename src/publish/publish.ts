import type { OperatorFunction } from 'rxjs'
import type { Answered, Completion, Prompt, Receipt, Window } from '../events.ts'
import type { Sink } from '../ports.ts'
import { originId, toRow } from '../row.ts'
import { version } from '../version.ts'
import { writing } from './writing.ts'

export type PublishOptions<P extends Prompt> = {
  /**
   * A completion's id. By default its prompt's `topic-partition-offset`, the same when the prompt is answered again, so that
   * readers can tell a repetition. A topology that answers a prompt twice needs two ids.
   */
  readonly id?: (item: Answered<P>) => string
}

/**
 * Publishes a window's answers with their provenance, and its failures as dead letters, in one settlement; emits a receipt
 * when that is done and all windows before it have theirs. A settlement that fails ends the stream; what the sink has not
 * committed of it is read again.
 */
export function publish<P extends Prompt>(
  sink: Sink<Completion>,
  options: PublishOptions<P> = {},
): OperatorFunction<Window<Answered<P>>, Receipt> {
  const { id = ({ origin }) => originId(origin) } = options
  return writing(settle)

  async function settle(window: Window<Answered<P>>): Promise<Receipt> {
    const started = performance.now()
    const done = window.items.map(item => ({ value: toCompletion(item, window, id(item), started), message: item }))
    await sink.settle(done, window.failed)
    return {
      window: window.id,
      closedBy: window.closedBy,
      answered: done.length,
      failed: window.failed.length,
      newTokens: window.items.reduce((sum, { output }) => sum + output.tokens.length, 0),
      ms: { ...window.ms, publish: performance.now() - started },
    }
  }
}

/** `now` as `performance.now()` gives it. */
function toCompletion<P extends Prompt>(
  item: Answered<P>,
  window: Window<Answered<P>>,
  id: string,
  now: number,
): Completion {
  const { value, origin, output, engine, pool } = item
  const { temperature, topP, topK, seed } = toRow(item)
  const { retrieve = 0, compose = 0, infer = 0 } = window.ms
  return {
    id,
    promptId: value.id ?? originId(origin),
    text: output.text,
    finishReason: output.finishReason,
    usage: { promptTokens: output.promptTokens, completionTokens: output.tokens.length },
    metadata: value.metadata ?? {},
    provenance: {
      strategy: item.strategy,
      adapters: item.used,
      pool: { epoch: pool.epoch, size: pool.size },
      base: engine.base,
      encoder: pool.encoder,
      window: {
        id: window.id,
        size: window.size,
        row: item.row,
        distinctAdapters: item.distinctAdapters,
        closedBy: window.closedBy,
      },
      source: { ...origin, offset: Number(origin.offset) },
      sampling: { temperature, topP, topK, seed },
      engine: { name: engine.name, version: engine.version, device: engine.device, precision: engine.precision },
      // In the window, and before every stage that was still busy with the window before it.
      ms: { queue: Math.max(0, now - item.receivedAt - retrieve - compose - infer), retrieve, compose, infer },
      lorastream: version,
    },
    tokens: output.tokens,
  }
}
