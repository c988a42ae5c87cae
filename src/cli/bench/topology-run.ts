import { avro } from '../../codec/avro.ts'
import { StageError } from '../../errors.ts'
import type { Prompt, Receipt } from '../../events.ts'
import type { Codec, Engine, Pool } from '../../ports.ts'
import { schemas } from '../../schemas.ts'
import { run, type Topology } from '../../topology.ts'
import { memory } from '../../transport/memory.ts'

/** A window that came out, and when, in ms since the run began. */
export type Settled = { readonly receipt: Receipt; readonly at: number }

/**
 * Runs a topology over prompts on topics of its own in memory, and leaves pool and engine open.
 * @throws StageError when a prompt was not answered, with what its dead letter says; what a part throws.
 */
export async function runInMemory(
  topology: Topology,
  prompts: readonly Prompt[],
  { pool, engine, codec = avro() }: { readonly pool: Pool; readonly engine: Engine; readonly codec?: Codec },
  { signal, onWindow }: { readonly signal: AbortSignal; readonly onWindow?: (settled: Settled) => void },
): Promise<readonly Settled[]> {
  const transport = memory({ codec, deadLetters: 'prompts.dead' })
  await transport.produce('prompts', schemas.prompt, prompts)
  transport.topics.end('prompts')
  const settled: Settled[] = []
  const started = performance.now()
  const keep = { close: async () => undefined }
  await run(
    topology,
    { transport, pool: { ...keep, retrieve: queries => pool.retrieve(queries) }, engine: { ...engine, ...keep } },
    {
      signal,
      onReceipt(receipt) {
        const window = { receipt, at: performance.now() - started }
        settled.push(window)
        onWindow?.(window)
      },
    },
  )
  signal.throwIfAborted()
  const [letter] = transport.topics.records('prompts.dead')
  if (letter !== undefined) {
    const message = letter.headers.find(([name]) => name === '__lorastream.errors.message')?.[1] ?? new Uint8Array(0)
    throw new StageError(`a prompt was not answered: ${Buffer.from(message).toString()}`)
  }
  return settled
}
