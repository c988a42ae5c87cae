import { join } from 'node:path'
import { ConfigError } from '../../errors.ts'
import type { Prompt } from '../../events.ts'
import { linearModules, openModel } from '../../hf/model.ts'
import type { Adapter } from '../../lora.ts'
import type { Pool } from '../../ports.ts'
import { chooseParts } from '../parts.ts'
import { topologyOf } from '../topology-of.ts'
import { benchCommand, type Bench } from './bench-case.ts'
import { median, openEngine, rssMb, timed } from './measure.ts'
import { figure, type Figure } from './result.ts'
import { sentences } from './sentences.ts'
import { openSyntheticAdapter, writeSyntheticAdapters } from './synthetic-adapters.ts'
import { runInMemory, type Settled } from './topology-run.ts'

/** Each has a directory on disk for as long as it runs. */
const MAX_POOL = 100_000
const MAX_ROWS = 4096
const MAX_TOKENS = 131_072
const MAX_RANK = 1024
const MAX_REPEATS = 10_000

/** Adapters with weights of their own; the others have hard links to them, for 2,000 would be 4 GB. */
const WEIGHT_FILES = 24
const SAMPLES = 3
const K = 3
const TARGETS = ['q_proj', 'v_proj']

type Settings = {
  readonly small: number
  readonly large: number
  readonly rows: number
  readonly newTokens: number
  readonly rank: number
  readonly repeats: number
}

export const pool = benchCommand({
  name: 'pool',
  opens: 'all',
  about: `A window through the whole topology with few adapters in the pool and with many, run alternately.
Both pools are searched for every prompt; then the same few adapters are mixed in both, so that the
engine has the same to do. Then windows whose adapters the engine has never seen. Adapters are
random, with ${SAMPLES} samples each, and beyond ${WEIGHT_FILES} share their weights on disk.`,
  options: {
    small: ['N', 'adapters in the small pool (default: 5)'],
    large: ['N', 'adapters in the large pool (default: 2000)'],
    rows: ['N', 'prompts of a window (default: 16)'],
    'new-tokens': ['N', 'new tokens of each row (default: 32)'],
    rank: ['N', 'rank of each adapter, on q_proj and v_proj (default: 8)'],
    repeats: ['N', 'windows of each kind (default: 5)'],
  },
  prepare(given) {
    const small = given.integer('small', K, MAX_POOL) ?? 5
    const large = given.integer('large', K, MAX_POOL) ?? 2000
    const repeats = given.integer('repeats', 1, MAX_REPEATS) ?? 5
    // Every window of new adapters needs at least one.
    if (large < small + repeats)
      throw new ConfigError(`--large is "${large}", expected at least ${small + repeats}: --small and --repeats`)
    const settings = {
      small,
      large,
      rows: given.integer('rows', 1, MAX_ROWS) ?? 16,
      newTokens: given.integer('new-tokens', 1, MAX_TOKENS) ?? 32,
      rank: given.integer('rank', 1, MAX_RANK) ?? 8,
      repeats,
    }
    return bench => measure(settings, bench)
  },
})

type Opened = {
  readonly pool: Pool
  readonly openMs: number
  readonly openCachedMs: number
  readonly growthMb: number
  /** With the same adapters as the other pool's. */
  readonly windows: Settled[]
}

async function measure(settings: Settings, bench: Bench): Promise<void> {
  const { terminal, signal, folder } = bench
  const { small, large, rows, newTokens, rank, repeats } = settings
  const modules = linearModules((await openModel(bench.paths.model)).config)
  const write = async (count: number): Promise<readonly string[]> => {
    terminal.progress(`writing ${count} adapters …`)
    return await writeSyntheticAdapters(join(folder, String(count)), {
      count,
      rank,
      targets: TARGETS,
      modules,
      files: WEIGHT_FILES,
      samples: index => sentences(index, SAMPLES),
    })
  }
  await write(small)
  const directories = await write(large)
  const prompts = sentences(-1, rows).map((text, row): Prompt => ({
    id: String(row),
    text,
    maxTokens: newTokens,
    ignoreEos: true,
  }))
  const engine = await openEngine(bench)
  const opened: Opened[] = []
  try {
    for (const size of [small, large]) opened.push(await open(size, bench))
    const [few, many] = opened
    if (few === undefined || many === undefined) throw new Error('two sizes are two pools')
    const read = (start: number, count: number): Promise<readonly Adapter[]> =>
      Promise.all(directories.slice(start, start + count).map(directory => openSyntheticAdapter(directory, modules)))
    const through = async (searched: Pool, mixed: readonly Adapter[]): Promise<Settled> => {
      const topology = topologyOf({ strategy: 'mixture', k: K, window: { size: rows, ms: 1000 } })
      const [settled] = await runInMemory(topology, prompts, { pool: answering(searched, mixed), engine }, { signal })
      if (settled === undefined) throw new Error('a window has a receipt')
      return settled
    }

    const same = await read(0, small)
    for (let repeat = -1; repeat < repeats; repeat += 1) {
      terminal.progress(`window ${repeat + 2} of ${repeats + 1}, of each pool`)
      // Each goes first every other time.
      for (const one of repeat % 2 === 0 ? [few, many] : [many, few]) {
        const settled = await through(one.pool, same)
        // The first reads the adapters and warms up.
        if (repeat >= 0) one.windows.push(settled)
      }
    }
    const changing: Settled[] = []
    const changed = Math.min(rows * K, Math.floor((large - small) / repeats))
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      terminal.progress(`window ${repeat + 1} of ${repeats}, of new adapters`)
      changing.push(await through(many.pool, await read(small + repeat * changed, changed)))
    }

    const common = { rows, newTokens, k: K, rank, targets: TARGETS, samples: SAMPLES, repeats }
    const report = async (pooled: number, figures: readonly Figure[]): Promise<void> => {
      const parameters = { pool: pooled, ...common, distinct: Math.min(small, rows * K) }
      await bench.report({ case: 'pool', engine: engine.facts, parameters, figures })
    }
    const ratio = medianMs(many.windows) / medianMs(few.windows)
    const best = fastestMs(many.windows) / fastestMs(few.windows)
    await report(small, figuresOf(few))
    await report(large, [
      ...figuresOf(many),
      figure('ratioToSmall', ratio, 'times', `of the windows' medians, to ${small} adapters`),
      figure('ratioOfBest', best, 'times', 'of the fastest of each, where other work disturbs'),
      figure('changingMs', medianMs(changing), 'ms', `a window of ${changed} adapters, all new to the engine`),
      figure('rssMb', rssMb(), 'MB', 'resident at the end, both pools open'),
    ])
  } finally {
    await Promise.all([engine.close(), ...opened.map(one => one.pool.close())])
  }
}

/** Opens a pool with an empty cache for its vectors, and again with what that left in it. */
async function open(size: number, { choice, paths, folder, terminal, signal }: Bench): Promise<Opened> {
  const cache = join(folder, `cache-${size}`)
  const parts = await chooseParts({ ...choice, ...paths, adapters: join(folder, String(size)), cache }, terminal)
  signal.throwIfAborted()
  terminal.progress(`opening a pool of ${size} adapters, every sample to be encoded …`)
  const cold = await timed(() => parts.open.pool())
  await cold.value.close()
  signal.throwIfAborted()
  terminal.progress(`opening a pool of ${size} adapters …`)
  const before = rssMb()
  const warm = await timed(() => parts.open.pool())
  return { pool: warm.value, openMs: cold.ms, openCachedMs: warm.ms, growthMb: rssMb() - before, windows: [] }
}

function figuresOf({ openMs, openCachedMs, growthMb, windows }: Opened): readonly Figure[] {
  const stage = (name: 'retrieve' | 'infer'): number => median(windows.map(({ receipt }) => receipt.ms[name] ?? 0))
  return [
    figure('ms', medianMs(windows), 'ms', `one window by itself, first to last; median of ${windows.length}`),
    figure('retrieveMs', stage('retrieve'), 'ms', 'of that, encoder and search'),
    figure('inferMs', stage('infer'), 'ms', 'of that, the engine'),
    figure('openMs', openMs, 'ms', 'to open encoder and pool, every sample encoded'),
    figure('openCachedMs', openCachedMs, 'ms', 'to open them, vectors in the cache'),
    figure('openGrowthMb', growthMb, 'MB', 'that resident memory grew by meanwhile'),
  ]
}

function fastestMs(windows: readonly Settled[]): number {
  return Math.min(...windows.map(({ at }) => at))
}

function medianMs(windows: readonly Settled[]): number {
  return median(windows.map(({ at }) => at))
}

/** Searches the pool and answers, in the place of what was found, with adapters of the list, row after row. */
function answering(searched: Pool, adapters: readonly Adapter[]): Pool {
  return {
    close: async () => undefined,
    async retrieve(queries) {
      const { pool: facts, hits } = await searched.retrieve(queries)
      return {
        pool: facts,
        hits: hits.map((found, row) =>
          'code' in found
            ? found
            : found.flatMap(({ score }, place) => {
                const adapter = adapters[(row * K + place) % adapters.length]
                return adapter === undefined ? [] : [{ adapter, score }]
              }),
        ),
      }
    },
  }
}
