import type { Topology } from '../../topology.ts'
import { chooseParts } from '../parts.ts'
import { topologyOf } from '../topology-of.ts'
import { benchCommand, type Bench } from './bench-case.ts'
import { median, memoryFigures, openEngine, rssMb } from './measure.ts'
import { benchPrompts } from './prompt-file.ts'
import { runInMemory } from './topology-run.ts'
import { figure } from './result.ts'

const MAX_WINDOWS = 1_000_000
const MAX_ROWS = 4096
const MAX_TOKENS = 131_072

/** Windows after which memory is said to have settled. */
const FIRST_WINDOWS = 10
const FIRST_ROWS = 16
const FIRST_NEW_TOKENS = 32

type Settings = {
  readonly windows: number
  readonly rows: number
  readonly newTokens: number
  readonly prompts?: string
}

export const memory = benchCommand({
  name: 'memory',
  opens: 'all',
  about: `Resident memory of the whole process: when all is open, after ten windows of 16 with 32 new tokens
each through the whole topology (the mixture of three), and over many small windows, as medians of
their first and last quarter: what grows from one to the other would grow on.`,
  options: {
    windows: ['N', 'small windows (default: 200)'],
    rows: ['N', 'prompts of each small window (default: 2)'],
    'new-tokens': ['N', 'new tokens of each of their rows (default: 8)'],
    prompts: ['FILE', "a file of prompts, JSON lines (default: the demo's)"],
  },
  prepare(given) {
    const prompts = given.text('prompts')
    const settings = {
      windows: given.integer('windows', 4, MAX_WINDOWS) ?? 200,
      rows: given.integer('rows', 1, MAX_ROWS) ?? 2,
      newTokens: given.integer('new-tokens', 1, MAX_TOKENS) ?? 8,
      ...(prompts !== undefined && { prompts }),
    }
    return bench => measure(settings, bench)
  },
})

/** The mean of three, windows closed by their size. */
function mixture(size: number): Topology {
  return topologyOf({ strategy: 'mixture', k: 3, window: { size, ms: 1000 } })
}

async function measure(settings: Settings, bench: Bench): Promise<void> {
  const { choice, paths, terminal, signal } = bench
  const { windows, rows, newTokens } = settings
  const first = await benchPrompts(settings.prompts, FIRST_WINDOWS * FIRST_ROWS, FIRST_NEW_TOKENS)
  const small = await benchPrompts(settings.prompts, windows * rows, newTokens)
  const { open } = await chooseParts({ ...choice, ...paths }, terminal)
  const engine = await openEngine(bench)
  const pool = await open.pool().catch(async (error: unknown) => {
    await engine.close()
    throw error
  })
  try {
    const openMb = rssMb()
    const follow = (total: number) => {
      const samples: number[] = []
      return {
        samples,
        signal,
        onWindow() {
          samples.push(rssMb())
          terminal.progress(`window ${samples.length} of ${total}`)
        },
      }
    }
    const tenth = follow(FIRST_WINDOWS)
    await runInMemory(mixture(FIRST_ROWS), first, { pool, engine }, tenth)
    const many = follow(windows)
    await runInMemory(mixture(rows), small, { pool, engine }, many)

    const quarter = Math.ceil(windows / 4)
    const [before, after] = [median(many.samples.slice(0, quarter)), median(many.samples.slice(-quarter))]
    const { pool: found } = await pool.retrieve([])
    await bench.report({
      case: 'memory',
      engine: engine.facts,
      parameters: { ...settings, pool: found.size, strategy: 'mixture', k: 3 },
      figures: [
        figure('openMb', openMb, 'MB', 'resident when model, encoder and adapters are open'),
        figure('tenWindowsMb', tenth.samples.at(-1) ?? 0, 'MB', 'after ten windows of 16'),
        figure('firstQuarterMb', before, 'MB', `of ${windows} small windows, median`),
        figure('lastQuarterMb', after, 'MB', 'the same of the last'),
        figure('growthMb', after - before, 'MB', 'from the first quarter to the last'),
        figure('heapMb', process.memoryUsage().heapUsed / 1e6, 'MB', "this thread's own heap"),
        ...memoryFigures(),
      ],
    })
  } finally {
    await Promise.all([engine.close(), pool.close()])
  }
}
