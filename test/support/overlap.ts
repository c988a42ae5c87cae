import { compose } from '../../src/compose/compose.ts'
import { infer } from '../../src/infer/infer.ts'
import type { Engine, Pool, Transport } from '../../src/ports.ts'
import { publish } from '../../src/publish/publish.ts'
import { retrieve } from '../../src/retrieve/retrieve.ts'
import { schemas } from '../../src/schemas.ts'
import { defineTopology, run } from '../../src/topology.ts'
import { window } from '../../src/window/window.ts'
import { adapter, echoEngine, fixedPool } from './fakes.ts'

type Step = 'retrieve' | 'infer' | 'commit'

/**
 * Answers prompts `1` to `count` in windows of one, and will not infer a window before the one behind it is being retrieved, nor
 * commit it before the one behind it is being inferred. Ends only where consecutive windows overlap, or when the
 * signal comes; gives the order in which the steps began.
 */
export async function overlapping(
  transport: Transport,
  topics: { readonly prompts: string; readonly completions: string },
  count: number,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const order: string[] = []
  const waiting = new Map<string, () => void>()
  /** Begins a step, and waits until another has begun. */
  const begin = async (step: Step, number: number, other?: Step): Promise<void> => {
    order.push(`${step} ${number}`)
    waiting.get(`${step} ${number}`)?.()
    const awaited = `${other} ${number + 1}`
    if (other === undefined || number === count || order.includes(awaited) || signal.aborted) return
    await new Promise<void>(resolve => waiting.set(awaited, resolve))
  }

  const stop = new AbortController()
  signal.addEventListener('abort', () => {
    stop.abort()
    for (const go of waiting.values()) go()
  })
  const [echo, fixed] = [echoEngine(), fixedPool([adapter('a')])]
  const pool: Pool = {
    ...fixed,
    async retrieve(queries) {
      await begin('retrieve', Number(queries[0]?.text))
      return await fixed.retrieve(queries)
    },
  }
  const engine: Engine = {
    ...echo,
    async run(batch) {
      const prompt = batch.rows[0]?.prompt
      await begin('infer', prompt !== undefined && 'text' in prompt ? Number(prompt.text) : Number.NaN, 'retrieve')
      return await echo.run(batch)
    },
  }
  const topology = defineTopology(parts => {
    const sink = parts.transport.sink(topics.completions, schemas.completion)
    const watched: typeof sink = {
      async settle(done, failed) {
        await begin('commit', Number(done[0]?.value.promptId), 'infer')
        await sink.settle(done, failed)
      },
    }
    return parts.transport
      .source(topics.prompts, schemas.prompt)
      .pipe(window({ size: 1, ms: 0 }), retrieve(parts.pool), compose('mixture'), infer(parts.engine), publish(watched))
  })
  let answered = 0
  const onReceipt = (): void => {
    answered += 1
    if (answered === count) stop.abort()
  }
  await run(topology, { transport, pool, engine }, { signal: stop.signal, onReceipt })
  return order
}

/** The windows in which a step began, in order. */
export function windowsOf(order: readonly string[], step: Step): readonly number[] {
  return order.filter(one => one.startsWith(step)).map(one => Number(one.split(' ')[1]))
}

/** Prompts for `overlapping`. */
export function numbered(count: number): readonly { readonly id: string; readonly text: string }[] {
  return Array.from({ length: count }, (_, index) => ({ id: String(index + 1), text: String(index + 1) }))
}
