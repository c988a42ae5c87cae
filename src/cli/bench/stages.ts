import { avro } from '../../codec/avro.ts'
import type { Batch, Codec, Engine } from '../../ports.ts'
import { shippedTopology } from '../load-module.ts'
import { chooseParts } from '../parts.ts'
import { benchCommand, type Bench } from './bench-case.ts'
import { expectAnswers, memoryFigures, openEngine, timed } from './measure.ts'
import { benchPrompts } from './prompt-file.ts'
import { figuresOf, timedAvro, type Measured, type Run } from './stage-figures.ts'
import { runInMemory } from './topology-run.ts'

const MAX_WINDOWS = 1000
const MAX_REPEATS = 1000
const MAX_TOKENS = 131_072

/** The window size of the shipped topologies. */
const ROWS = 16

type Settings = {
  readonly windows: number
  readonly newTokens: number
  readonly repeats: number
  readonly prompts?: string
}

export const stages = benchCommand({
  name: 'stages',
  opens: 'all',
  about: `What a window takes besides the model: prompts as Avro through topologies/mixture.ts on the
in-memory transport, one window behind the other, against ONNX Runtime's own time for them in the
same run, and against the same batches handed to the engine alone, in turn. The first window of a
run is left out, for nothing overlaps its retrieval.`,
  options: {
    windows: ['N', 'windows of 16 in a run, the first of which does not count (default: 5)'],
    'new-tokens': ['N', 'new tokens of each row (default: 32)'],
    repeats: ['N', 'runs (default: 3)'],
    prompts: ['FILE', "a file of prompts, JSON lines (default: the demo's)"],
  },
  prepare(given) {
    const prompts = given.text('prompts')
    const settings = {
      windows: given.integer('windows', 2, MAX_WINDOWS) ?? 5,
      newTokens: given.integer('new-tokens', 1, MAX_TOKENS) ?? 32,
      repeats: given.integer('repeats', 1, MAX_REPEATS) ?? 3,
      ...(prompts !== undefined && { prompts }),
    }
    return bench => measure(settings, bench)
  },
})

async function measure(settings: Settings, bench: Bench): Promise<void> {
  const { choice, paths, terminal, signal } = bench
  const { windows, newTokens, repeats } = settings
  const topology = await shippedTopology('mixture')
  const prompts = await benchPrompts(settings.prompts, windows * ROWS, newTokens)
  const { open } = await chooseParts({ ...choice, ...paths }, terminal)

  let sessionMs = 0
  const engine = await openEngine(bench, { onRun: ms => (sessionMs += ms) })
  const pool = await open.pool().catch(async (error: unknown) => {
    await engine.close()
    throw error
  })
  try {
    const run = async (batch: Batch): Promise<Run & { readonly value: Awaited<ReturnType<Engine['run']>> }> => {
      sessionMs = 0
      const { value, ms } = await timed(() => engine.run(batch))
      expectAnswers(value, newTokens)
      return { batch, ms, sessionMs, value }
    }
    const inTopology = async (codec: Codec) => {
      const runs: Run[] = []
      const watched = {
        ...engine,
        async run(batch: Batch) {
          const { value, ...found } = await run(batch)
          runs.push(found)
          return value
        },
      }
      return { settled: await runInMemory(topology, prompts, { pool, engine: watched, codec }, { signal }), runs }
    }

    terminal.progress('warming up …')
    await inTopology(avro())
    const measured: Measured[] = []
    for (let repeat = 1; repeat <= repeats; repeat += 1) {
      terminal.progress(`run ${repeat} of ${repeats}`)
      const clock = { ms: 0 }
      const { settled, runs } = await inTopology(timedAvro(clock))
      const alone: Run[] = []
      for (const { batch } of runs) {
        signal.throwIfAborted()
        alone.push(await run(batch))
      }
      for (const [index, { receipt, at }] of settled.entries()) {
        const [before, within, direct] = [settled[index - 1], runs[index], alone[index]]
        if (before === undefined || within === undefined || direct === undefined) continue
        measured.push({ ms: at - before.at, receipt, within, alone: direct, avroMs: clock.ms / windows })
      }
    }
    const { pool: found } = await pool.retrieve([])
    await bench.report({
      case: 'stages',
      engine: engine.facts,
      parameters: { ...settings, rows: ROWS, pool: found.size, topology: 'mixture', transport: 'memory' },
      figures: [...figuresOf(measured), ...memoryFigures()],
    })
  } finally {
    await Promise.all([engine.close(), pool.close()])
  }
}
