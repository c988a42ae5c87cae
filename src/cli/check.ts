import { AdapterError } from '../errors.ts'
import { modelDigest, openModel } from '../hf/model.ts'
import type { Pool } from '../ports.ts'
import type { OpenPool, PoolDescription } from '../retrieve/pool.ts'
import { readArguments } from './arguments.ts'
import type { Command } from './command.ts'
import { partHelp, partOptions, readParts } from './options.ts'
import { chooseParts } from './parts.ts'
import type { Terminal } from './terminal.ts'

export const check: Command = {
  help: `Usage: lorastream check [options]

Opens the base model, the encoder, the adapters and the engine, and prints what it found. Exit 1 at
the first part that cannot be opened, and when an adapter was refused.

Options:
${partHelp}`,

  prepare(args) {
    const choice = readParts(readArguments('check', args, { text: partOptions, flags: [] }))

    return async terminal => {
      const { config, paths, open } = await chooseParts(choice, terminal)
      if (paths !== undefined) await showModel(terminal, paths.model)

      terminal.progress('opening the encoder and the adapters …')
      const pool = await open.pool()
      const found = isDescribed(pool) ? pool.describe() : undefined
      await pool.close()
      if (found !== undefined) await showPool(terminal, found)

      terminal.progress('opening the engine …')
      const engine = await open.engine()
      const { name, version, device, precision, base } = engine.facts
      await engine.close()
      if (paths === undefined) await show(terminal, 'base model', base.id, base.digest)
      await show(terminal, 'engine', `${name} ${version}, ${precision} on ${device}`)

      if (config !== undefined) {
        await (await config.transport()).close()
        await show(terminal, 'transport', 'opened and closed')
      }
      const [first] = found?.refused ?? []
      if (first !== undefined)
        throw new AdapterError(`${found?.refused.length} refused, the first is ${first.id}: ${first.error.message}`)
    }
  },
}

async function showModel(terminal: Terminal, path: string): Promise<void> {
  const model = await openModel(path)
  const { architecture, layers, hidden, heads, kvHeads, vocab, contextLength } = model.config
  const dtypes = new Map<string, number>()
  for (const { dtype } of model.tensors.values()) dtypes.set(dtype, (dtypes.get(dtype) ?? 0) + 1)
  await show(
    terminal,
    'base model',
    path,
    `${architecture}, ${layers} layers of ${hidden}, ${heads} heads (${kvHeads} for keys and values)`,
    `vocabulary ${vocab}, context ${contextLength} tokens`,
    `${model.tensors.size} tensors: ${[...dtypes].map(([dtype, count]) => `${count} ${dtype}`).join(', ')}`,
    await modelDigest(model),
  )
}

async function showPool(terminal: Terminal, { facts, adapters, refused, vectors }: PoolDescription): Promise<void> {
  await show(terminal, 'encoder', facts.encoder.id, facts.encoder.digest)
  const kept = vectors.error === undefined ? '' : `; they cannot be kept: ${vectors.error}`
  await show(
    terminal,
    'adapters',
    `${adapters.length} admitted, ${refused.length} refused`,
    `${vectors.cached} vectors from the cache, ${vectors.encoded} encoded${kept}`,
    ...adapters.map(
      ({ adapter: { id, rank, digest }, samples }) =>
        `${id.padEnd(width(adapters))}  rank ${String(rank).padEnd(3)} ${samples === 0 ? 'no samples: serves prompts that name it' : `${samples} samples`}  ${digest.slice(0, 19)}…`,
    ),
    ...refused.map(({ id, error }) => `${terminal.paint.red('refused')} ${id}: ${error.code}: ${error.message}`),
  )
}

function width(adapters: PoolDescription['adapters']): number {
  return Math.min(40, Math.max(0, ...adapters.map(({ adapter: { id } }) => id.length)))
}

/** A part's name, and what there is to say about it, a fact a line. */
async function show(terminal: Terminal, part: string, ...facts: readonly string[]): Promise<void> {
  for (const [row, fact] of facts.entries())
    await terminal.print(`${terminal.paint.bold((row === 0 ? part : '').padEnd(12))}${fact}`)
}

/** Pools of other makers tell nothing of their adapters. */
function isDescribed(pool: Pool): pool is OpenPool {
  return 'describe' in pool && typeof pool.describe === 'function'
}
