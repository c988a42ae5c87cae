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
import { random } from './random.ts'
import type { Figure } from './result.ts'
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
  about: `A window through the whole topology with few adapters in the pool and with many, run alternately. Both
pools are searched for every prompt; then the same few adapters are mixed in both, so that the
engine has the same to do. Then windows whose adapters the engine has never seen. Adapters are
random, with ${SAMPLES} samples each, and beyond ${WEIGHT_FILES} share their weights on disk.`,
  options: {
    small: 'adapters in the small pool (default: 5)',
    large: 'adapters in the large pool (default: 2000)',
    rows: 'prompts of a window (default: 16)',
    'new-tokens': 'new tokens of each row (default: 32)',
    rank: 'rank of each adapter, on q_proj and v_proj (default: 8)',
    repeats: 'windows of each kind (default: 5)',
  },
  prepare(given) {
    const small = given.integer('small', K, MAX_POOL) ?? 5
    const large = given.integer('large', K, MAX_POOL) ?? 2000
    if (large <= small) throw new ConfigError(`--large is "${large}", expected more than the ${small} of --small`)
    const settings = {
      small,
      large,
      rows: given.integer('rows', 1, MAX_ROWS) ?? 16,
      newTokens: given.integer('new-tokens', 1, MAX_TOKENS) ?? 32,
      rank: given.integer('rank', 1, MAX_RANK) ?? 8,
      repeats: given.integer('repeats', 1, MAX_REPEATS) ?? 5,
    }
    return bench => measure(settings, bench)
  },
})

type Opened = {
  readonly pool: Pool
  readonly openMs: number
  readonly openCachedMs: number
  readonly growthMb: number
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
      samples: index => textsOf(index, SAMPLES),
    })
  }
  await write(small)
  const directories = await write(large)
  const prompts = textsOf(-1, rows).map((text, row): Prompt => ({
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
    const windows: { readonly few: Settled; readonly many: Settled }[] = []
    for (let repeat = -1; repeat < repeats; repeat += 1) {
      terminal.progress(`window ${repeat + 2} of ${repeats + 1}, of each pool`)
      const window = { few: await through(few.pool, same), many: await through(many.pool, same) }
      // The first reads the adapters and warms up.
      if (repeat >= 0) windows.push(window)
    }
    const changing: Settled[] = []
    const changed = Math.min(rows * K, Math.floor((large - small) / repeats))
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      terminal.progress(`window ${repeat + 1} of ${repeats}, of new adapters`)
      changing.push(await through(many.pool, await read(small + repeat * changed, changed)))
    }

    const baseline = median(windows.map(window => window.few.at))
    const common = { rows, newTokens, k: K, rank, targets: TARGETS, samples: SAMPLES, repeats }
    const parameters = (size: number) => ({ pool: size, ...common, distinct: Math.min(small, rows * K) })
    await bench.report({
      case: 'pool',
      engine: engine.facts,
      parameters: parameters(small),
      figures: figuresOf(
        few,
        windows.map(window => window.few),
      ),
    })
    await bench.report({
      case: 'pool',
      engine: engine.facts,
      parameters: parameters(large),
      figures: [
        ...figuresOf(
          many,
          windows.map(window => window.many),
        ),
        {
          name: 'ratioToSmall',
          value: median(windows.map(window => window.many.at)) / baseline,
          unit: 'times',
          meaning: `of the windows' medians, to ${small} adapters`,
        },
        {
          name: 'changingMs',
          value: median(changing.map(({ at }) => at)),
          unit: 'ms',
          meaning: `a window of ${changed} adapters that are all new to the engine`,
        },
        { name: 'rssMb', value: rssMb(), unit: 'MB', meaning: 'resident at the end, both pools open' },
      ],
    })
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
  return { pool: warm.value, openMs: cold.ms, openCachedMs: warm.ms, growthMb: rssMb() - before }
}

function figuresOf({ openMs, openCachedMs, growthMb }: Opened, windows: readonly Settled[]): readonly Figure[] {
  const stage = (name: 'retrieve' | 'infer'): number => median(windows.map(({ receipt }) => receipt.ms[name] ?? 0))
  return [
    {
      name: 'ms',
      value: median(windows.map(({ at }) => at)),
      unit: 'ms',
      meaning: `one window by itself, first to last; median of ${windows.length}`,
    },
    { name: 'retrieveMs', value: stage('retrieve'), unit: 'ms', meaning: 'of that, encoder and search' },
    { name: 'inferMs', value: stage('infer'), unit: 'ms', meaning: 'of that, the engine' },
    { name: 'openMs', value: openMs, unit: 'ms', meaning: 'to open encoder and pool, every sample encoded' },
    { name: 'openCachedMs', value: openCachedMs, unit: 'ms', meaning: 'to open them, vectors in the cache' },
    { name: 'openGrowthMb', value: growthMb, unit: 'MB', meaning: 'that resident memory grew by meanwhile' },
  ]
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

/** Sentences of twelve words, the same for the same seed. */
function textsOf(seed: number, count: number): readonly string[] {
  const next = random(seed)
  const word = (): string => WORDS[Math.floor(next() * WORDS.length)] ?? ''
  return Array.from({ length: count }, () => Array.from({ length: 12 }, word).join(' '))
}

const WORDS =
  `answer ask book bread bridge city cloud colour count dance doctor dream engine farm field fire forest garden
gold harbour history island journey kitchen language letter light market measure medicine memory moon morning mountain
music night number ocean paper picture planet poem price question rain reason recipe review river road school science
sentence shop sister song story street summer sword table teacher thunder ticket train tree village voice water weather
wheel window winter word world writer`.split(/\s/)
