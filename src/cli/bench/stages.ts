import { avro } from '../../codec/avro.ts'
import type { Batch, Codec, Engine } from '../../ports.ts'
import { shippedTopology } from '../load-module.ts'
import { chooseParts } from '../parts.ts'
import { benchCommand, type Bench } from './bench-case.ts'
import { expectAnswers, median, memoryFigures, openEngine, sum, timed } from './measure.ts'
import { benchPrompts } from './prompt-file.ts'
import type { Figure } from './result.ts'
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
  about: `What a window takes besides the model: prompts as Avro through topologies/mixture.ts on the in-memory
transport, one window behind the other, against ONNX Runtime's own time for them in the same run and
against the same batches handed to the engine alone. Both are run in turn. The first window of a
run is left out, for nothing overlaps its retrieval.`,
  options: {
    windows: 'windows of 16 in a run, the first of which does not count (default: 5)',
    'new-tokens': 'new tokens of each row (default: 32)',
    repeats: 'runs (default: 3)',
    prompts: "a file of prompts, JSON lines (default: the demo's)",
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

/** A batch that the engine answered: how long it took as a whole, and how long ONNX Runtime of that. */
type Run = { readonly batch: Batch; readonly ms: number; readonly sessionMs: number }

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
    const windowsOfAll: Measured[] = []
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
        const [before, within, without] = [settled[index - 1], runs[index], alone[index]]
        if (before === undefined || within === undefined || without === undefined) continue
        windowsOfAll.push({ ms: at - before.at, receipt: receipt.ms, within, without, avroMs: clock.ms / windows })
      }
    }
    const { pool: found } = await pool.retrieve([])
    await bench.report({
      case: 'stages',
      engine: engine.facts,
      parameters: { ...settings, rows: ROWS, pool: found.size, topology: 'mixture', transport: 'memory' },
      figures: [...figuresOf(windowsOfAll), ...memoryFigures()],
    })
  } finally {
    await Promise.all([engine.close(), pool.close()])
  }
}

type Measured = {
  /** From the window before to this one. */
  readonly ms: number
  readonly receipt: Readonly<Partial<Record<string, number>>>
  readonly within: Run
  readonly without: Run
  readonly avroMs: number
}

function figuresOf(measured: readonly Measured[]): readonly Figure[] {
  const of = (pick: (one: Measured) => number): number => median(measured.map(pick))
  const stage = (name: string): number => of(({ receipt }) => receipt[name] ?? 0)
  const wall = sum(measured.map(({ ms }) => ms))
  const session = sum(measured.map(({ within }) => within.sessionMs))
  const alone = sum(measured.map(({ without }) => without.ms))
  return [
    inMs(
      'ms',
      of(one => one.ms),
      `from one window to the next; median of ${measured.length}`,
    ),
    inMs(
      'sessionMs',
      of(({ within }) => within.sessionMs),
      'of that, what ONNX Runtime took',
    ),
    {
      name: 'outsidePercent',
      value: 100 * (1 - session / wall),
      unit: '%',
      meaning: 'of all windows, what ONNX Runtime did not take: all that does not overlap',
    },
    inMs(
      'aloneMs',
      of(({ without }) => without.ms),
      'the same batches handed to the engine alone',
    ),
    {
      name: 'overAlonePercent',
      value: 100 * (wall / alone - 1),
      unit: '%',
      meaning: 'of all windows, above the engine alone: the encoder takes its share of the cores',
    },
    inMs('retrieveMs', stage('retrieve'), 'encoder and search, while the window before is inferred'),
    inMs('composeMs', stage('compose'), 'hits to mixes'),
    inMs(
      'batchMs',
      of(({ receipt, within }) => (receipt['infer'] ?? 0) - within.ms),
      'mixes to a batch',
    ),
    inMs(
      'engineMs',
      of(({ within }) => within.ms - within.sessionMs),
      'in the engine besides ONNX Runtime: its thread, tokens, LoRAs, feeds, text',
    ),
    inMs('publishMs', stage('publish'), 'completions with provenance, settled'),
    inMs(
      'avroMs',
      of(one => one.avroMs),
      'of all stages, prompts from Avro and completions to it',
    ),
  ]
}

function inMs(name: string, value: number, meaning: string): Figure {
  return { name, value, unit: 'ms', meaning }
}

/** Avro that adds up how long the topology's own part of it takes: it encodes and decodes before it gives way. */
function timedAvro(clock: { ms: number }): Codec {
  const codec = avro()
  const add = <Value>(work: () => Value): Value => {
    const started = performance.now()
    const value = work()
    clock.ms += performance.now() - started
    return value
  }
  return (topic, schema) => {
    const serde = codec(topic, schema)
    return {
      // Prompts are encoded by whoever produces them.
      encode: value => (topic === 'prompts' ? serde.encode(value) : add(() => serde.encode(value))),
      decode: bytes => add(() => serde.decode(bytes)),
    }
  }
}
