import { finalize, tap, type Observable } from 'rxjs'
import type { Receipt } from './events.ts'
import type { Engine, Pool, Transport } from './ports.ts'

/** What a topology runs on. */
export type Resources = { readonly transport: Transport; readonly pool: Pool; readonly engine: Engine }

/** A pure function: the same file runs on any transport. */
export type Topology = (resources: Resources) => Observable<Receipt>

/** A topology, its parts typed. */
export function defineTopology(topology: Topology): Topology {
  return topology
}

export type RunOptions = {
  /** Ends the sources when aborted; what was read is still answered and published. */
  readonly signal?: AbortSignal
  /** Called after every window; what it throws ends the run. */
  readonly onReceipt?: (receipt: Receipt) => void
}

/**
 * Runs a topology until its sources end or `signal` is aborted and everything in flight is published; then closes the
 * transport, the engine and the pool, whatever happened. Rejects with what ended the stream, else with what a part threw on
 * closing.
 */
export async function run(topology: Topology, resources: Resources, options: RunOptions = {}): Promise<void> {
  const { transport, engine, pool } = resources
  const failures: unknown[] = []
  try {
    await drained(topology, resources, options)
  } catch (error) {
    failures.push(error)
  }
  // The transport first: it hands over to other instances what this one will not answer.
  for (const part of [transport, engine, pool]) {
    try {
      await part.close()
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
}

async function drained(topology: Topology, resources: Resources, { signal, onReceipt }: RunOptions): Promise<void> {
  if (signal?.aborted === true) return
  const receipts = topology(resources)
  await new Promise<void>((resolve, reject) => {
    const stop = (): void => void resources.transport.stop().catch(reject)
    signal?.addEventListener('abort', stop)
    receipts
      .pipe(
        tap(receipt => onReceipt?.(receipt)),
        finalize(() => signal?.removeEventListener('abort', stop)),
      )
      .subscribe({ error: reject, complete: resolve })
  })
}
