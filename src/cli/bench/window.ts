import { ConfigError } from '../../errors.ts'
import { linearModules, openModel } from '../../hf/model.ts'
import type { Batch, Row } from '../../ports.ts'
import { greedyRow } from '../../row.ts'
import { benchCommand, type Bench } from './bench-case.ts'
import { expectAnswers, median, memoryFigures, openEngine, timed } from './measure.ts'
import { random } from './random.ts'
import { openSyntheticAdapter, writeSyntheticAdapters } from './synthetic-adapters.ts'
import { figure, type Figure } from './result.ts'

/** Bounds of options: larger ones would only fail later, in memory or in the context. */
const MAX_ROWS = 4096
const MAX_TOKENS = 131_072
const MAX_K = 64
const MAX_RANK = 1024
const MAX_REPEATS = 10_000

type Settings = {
  readonly rows: number
  readonly promptTokens: number
  /** Tokens of the shortest prompt, where they are not all alike. */
  readonly shortest?: number
  readonly newTokens: number
  readonly k: number
  readonly distinct: number
  readonly rank: number
  readonly targets: readonly string[]
  readonly repeats: number
}

export const window = benchCommand({
  name: 'window',
  opens: 'model',
  about: `One window through the engine: the same rows with adapters, each row its own mix of k, and without.
Both are run alternately, so that whatever else the machine does meets both alike. Adapters are
random, written as PEFT directories, and stay in memory after the first window, as a pool's do.
With --shortest a window whose prompts are all as long as the longest runs in between, too.`,
  options: {
    rows: ['N', 'prompts (default: 16)'],
    'prompt-tokens': ['N', 'tokens of each prompt (default: 64)'],
    shortest: ['N', 'tokens of the shortest; the others grow evenly (default: all alike)'],
    'new-tokens': ['N', 'new tokens of each row (default: 32)'],
    k: ['N', 'adapters of each row (default: 3)'],
    distinct: ['N', 'distinct adapters of the window (default: 24)'],
    rank: ['N', 'rank of each adapter (default: 8)'],
    targets: ['LIST', 'modules with adapters (default: q_proj,v_proj)'],
    repeats: ['N', 'windows of each kind (default: 7)'],
  },
  prepare(given) {
    const promptTokens = given.integer('prompt-tokens', 1, MAX_TOKENS) ?? 64
    const shortest = given.integer('shortest', 1, promptTokens)
    const settings = {
      rows: given.integer('rows', 1, MAX_ROWS) ?? 16,
      promptTokens,
      ...(shortest !== undefined && { shortest }),
      newTokens: given.integer('new-tokens', 1, MAX_TOKENS) ?? 32,
      k: given.integer('k', 1, MAX_K) ?? 3,
      distinct: given.integer('distinct', 1, MAX_ROWS * MAX_K) ?? 24,
      rank: given.integer('rank', 1, MAX_RANK) ?? 8,
      targets: (given.text('targets') ?? 'q_proj,v_proj').split(','),
      repeats: given.integer('repeats', 1, MAX_REPEATS) ?? 7,
    }
    const { rows, k, distinct } = settings
    if (distinct < k || distinct > rows * k)
      throw new ConfigError(`--distinct is "${distinct}", expected ${k} to ${rows * k}: k to rows times k`)
    return bench => measure(settings, bench)
  },
})

async function measure(settings: Settings, bench: Bench): Promise<void> {
  const { folder, terminal, signal } = bench
  const { config } = await openModel(bench.paths.model)
  const modules = linearModules(config)
  const { distinct, rank, targets, repeats, newTokens } = settings
  const directories = await writeSyntheticAdapters(folder, { count: distinct, rank, targets, modules })
  const adapters = await Promise.all(directories.map(directory => openSyntheticAdapter(directory, modules)))

  let sessionMs = 0
  const engine = await openEngine(bench, { onRun: ms => (sessionMs += ms) })
  try {
    const rows = rowsOf(settings, config.vocab)
    const base: Batch = { rows, stack: [], mapping: rows.map(() => []) }
    const mixed: Batch = {
      rows,
      stack: adapters.map(adapter => [{ adapter, weight: 1 }]),
      mapping: rows.map((_, row) => mixOf(row, settings)),
    }
    const longest = { ...settings, shortest: settings.promptTokens }
    const even = settings.shortest === undefined ? undefined : { ...mixed, rows: rowsOf(longest, config.vocab) }
    const total = (even === undefined ? 2 : 3) * (repeats + 2)
    let done = 0
    const run = async (batch: Batch): Promise<Run> => {
      signal.throwIfAborted()
      terminal.progress(`window ${(done += 1)} of ${total}`)
      sessionMs = 0
      const { value, ms } = await timed(() => engine.run(batch))
      expectAnswers(value, newTokens)
      return { ms, sessionMs }
    }

    await run(base)
    const first = await run(mixed)
    await run(base)
    await run(mixed)
    if (even !== undefined) for (let warm = 0; warm < 2; warm += 1) await run(even)
    const pairs: Pair[] = []
    const evenMs: number[] = []
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      // Each of the two goes first every other time; the even one comes after both.
      const one = await run(repeat % 2 === 0 ? base : mixed)
      const other = await run(repeat % 2 === 0 ? mixed : base)
      pairs.push(repeat % 2 === 0 ? { base: one, mixed: other } : { base: other, mixed: one })
      if (even !== undefined) evenMs.push((await run(even)).ms)
    }
    const figures = [...figuresOf(pairs, first, settings), ...evenFigures(pairs, evenMs), ...memoryFigures()]
    await bench.report({ case: 'window', engine: engine.facts, parameters: settings, figures })
  } finally {
    await engine.close()
  }
}

type Run = { readonly ms: number; readonly sessionMs: number }
type Pair = { readonly base: Run; readonly mixed: Run }

function figuresOf(pairs: readonly Pair[], first: Run, { rows, newTokens, repeats }: Settings): readonly Figure[] {
  const [mixed, base] = [pairs.map(pair => pair.mixed.ms), pairs.map(pair => pair.base.ms)]
  const [ms, baseMs] = [median(mixed), median(base)]
  const ratios = pairs.map(pair => pair.mixed.ms / pair.base.ms)
  const best = Math.min(...mixed) / Math.min(...base)
  const sessionMs = median(pairs.map(pair => pair.mixed.sessionMs))
  const tokens = 1000 * rows * newTokens
  return [
    figure('ms', ms, 'ms', `a window, each row its own mix; median of ${repeats}`),
    figure('baseMs', baseMs, 'ms', 'the same without adapters, in between'),
    figure('ratioToBase', ms / baseMs, 'times', 'of the two medians'),
    figure('ratioOfPairs', median(ratios), 'times', 'median of the pairs, where the machine changes its pace'),
    figure('ratioOfBest', best, 'times', 'of the fastest of each, where other work disturbs'),
    figure('ratioLow', Math.min(...ratios), 'times', 'lowest of the pairs'),
    figure('ratioHigh', Math.max(...ratios), 'times', 'highest of the pairs'),
    figure('tokensPerSecond', tokens / ms, 'tokens/s', 'new tokens, with adapters'),
    figure('baseTokensPerSecond', tokens / baseMs, 'tokens/s', 'without'),
    figure('sessionMs', sessionMs, 'ms', 'of ms, what ONNX Runtime took'),
    figure('firstMs', first.ms, 'ms', 'the first with adapters, which reads them'),
  ]
}

/** Of a window whose prompts are all as long as the longest; nothing where there was none. */
function evenFigures(pairs: readonly Pair[], evenMs: readonly number[]): readonly Figure[] {
  if (evenMs.length === 0) return []
  const ms = median(pairs.map(pair => pair.mixed.ms))
  return [
    figure('evenMs', median(evenMs), 'ms', 'with adapters, all prompts as long as the longest'),
    figure('ratioToEven', ms / median(evenMs), 'times', 'of the two medians'),
  ]
}

/** Rows of random tokens, greedy, that go on to the last token. */
function rowsOf(
  { rows, promptTokens, shortest = promptTokens, newTokens }: Settings,
  vocabulary: number,
): readonly Row[] {
  return Array.from({ length: rows }, (_, row) => {
    const next = random(row)
    const length = promptTokens - Math.round(((promptTokens - shortest) * row) / Math.max(1, rows - 1))
    return greedyRow(
      Array.from({ length }, () => Math.floor(next() * vocabulary)),
      newTokens,
    )
  })
}

/** Row after row takes the next `k` of the distinct adapters, each with the weight 1/k. */
function mixOf(row: number, { k, distinct }: Settings): Batch['mapping'][number] {
  return Array.from({ length: k }, (_, place) => ({ lora: (row * k + place) % distinct, weight: 1 / k })).toSorted(
    (one, other) => one.lora - other.lora,
  )
}
