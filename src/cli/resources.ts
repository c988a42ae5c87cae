import type { Engine, Pool, Transport } from '../ports.ts'
import type { Resources } from '../topology.ts'
import type { Opener } from './parts.ts'
import type { Terminal } from './terminal.ts'

/** Opens pool and engine at the same time. When one fails, the other and the transport are closed. */
export async function openAll(transport: Transport, open: Opener, terminal: Terminal): Promise<Resources> {
  try {
    return { transport, ...(await openParts(open, terminal)) }
  } catch (error) {
    await Promise.allSettled([transport.close()])
    throw error
  }
}

/** Opens pool and engine at the same time. When one fails, the other is closed. */
export async function openParts(
  open: Opener,
  terminal: Terminal,
): Promise<{ readonly pool: Pool; readonly engine: Engine }> {
  terminal.progress('opening the model and the adapters …')
  const [pool, engine] = await Promise.allSettled([open.pool(), open.engine()])
  terminal.progress('')
  if (pool.status === 'fulfilled' && engine.status === 'fulfilled') return { pool: pool.value, engine: engine.value }
  const opened = [pool, engine].flatMap(part => (part.status === 'fulfilled' ? [part.value] : []))
  await Promise.allSettled(opened.map(part => part.close()))
  throw pool.status === 'rejected' ? pool.reason : engine.status === 'rejected' ? engine.reason : undefined
}
