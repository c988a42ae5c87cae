import { StageError } from '../../errors.ts'
import type { Receipt } from '../../events.ts'
import type { RawRecord } from '../../ports.ts'
import { schemas } from '../../schemas.ts'
import { memory } from '../../transport/memory.ts'
import { topologyOf } from '../topology-of.ts'
import { standInEngine, standInPool } from './stand-in.ts'
import type { Loop } from './transport-loops.ts'
import { paced, type Cluster, type Pair } from './transport-topics.ts'

/** Windows before the paced ones that are answered one after the other. */
export const WARM_UP = 20
/** A run that commits nothing for as long has failed. */
const STALL_MS = 60_000

/** Of events; `cpuMs` with all the process's threads. */
export type Throughput = { readonly perSecond: number; readonly cpuMs: number }

/** A completion as the topology writes it, with everything that a real one has. */
export async function answerRecord({ codec }: Pick<Cluster, 'codec'>): Promise<RawRecord> {
  const inMemory = memory({ codec })
  await inMemory.produce('prompts', schemas.prompt, [{ text: 'one', maxTokens: 32 }])
  inMemory.topics.end('prompts')
  const topology = topologyOf({ strategy: 'mixture', k: 3, window: { size: 1, ms: 0 } })
  const receipts = topology({ transport: inMemory, pool: standInPool(), engine: standInEngine() })
  await new Promise<void>((resolve, reject) => receipts.subscribe({ complete: resolve, error: reject }))
  const [record] = inMemory.topics.records('completions')
  if (record === undefined) throw new StageError('the stand-in engine has not answered')
  return record
}

/** Events a second from the first that was committed to the last, and the process's time for one; `onCommit` is told how many are done. */
export async function throughput(
  loop: Loop,
  topics: Pair,
  events: number,
  signal: AbortSignal,
  onCommit: (done: number, receipt?: Receipt) => void = () => {},
): Promise<Throughput> {
  let done = 0
  let first: { readonly at: number; readonly events: number; readonly cpu: NodeJS.CpuUsage } | undefined
  let timer: NodeJS.Timeout | undefined
  let running: ReturnType<Loop> | undefined
  const over = new AbortController()
  return await new Promise<Throughput>((resolve, reject) => {
    const stop = (): void => reject(new Error('asked to stop'))
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { signal: over.signal })
    const late = (): void => reject(new StageError(`${done} of ${events} events were answered, and then none`))
    timer = setTimeout(late, STALL_MS)
    const committed = (count: number, receipt?: Receipt): void => {
      done += count
      timer?.refresh()
      onCommit(done, receipt)
      first ??= { at: performance.now(), events: count, cpu: process.cpuUsage() }
      if (done < events) return
      const [left, { user, system }] = [events - first.events, process.cpuUsage(first.cpu)]
      resolve({
        perSecond: (1000 * left) / (performance.now() - first.at),
        cpuMs: (user + system) / 1000 / left,
      })
    }
    running = loop(topics, { committed, failed: reject })
    running.catch(reject)
  }).finally(async () => {
    clearTimeout(timer)
    over.abort()
    await (await running)?.stop()
  })
}

/** How long paced windows take from produce to completion, on topics of their own, in ms. */
export async function latency(
  cluster: Cluster,
  loop: Loop,
  windows: readonly RawRecord[][],
  perSecond: number,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const pair = await cluster.topics()
  const broken = new AbortController()
  const running = await loop(pair, { committed: () => {}, failed: error => broken.abort(error) })
  try {
    const either = AbortSignal.any([signal, broken.signal])
    const aborted = new Promise<never>((_, reject) => either.addEventListener('abort', () => reject(either.reason)))
    const pace = { warmUp: WARM_UP, everyMs: 1000 / perSecond, signal: either }
    return await Promise.race([aborted, paced(cluster, pair, windows, pace)])
  } finally {
    await running.stop()
  }
}
