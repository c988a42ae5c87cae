import { version } from '../../version.ts'
import type { EngineFacts } from '../../events.ts'
import type { Sample, Scorer } from '../../ports.ts'
import { hnsw } from '../../retrieve/hnsw-index.ts'
import { scorers, type ScorerName } from '../../retrieve/scorers.ts'
import { benchCommand, type Bench } from './bench-case.ts'
import { median, percentile, rssMb } from './measure.ts'
import { random } from './random.ts'
import { figure } from './result.ts'
import { sentences } from './sentences.ts'

const MAX_POOL = 100_000
const MAX_SAMPLES = 64
const MAX_ROWS = 4096
const MAX_WINDOWS = 100_000
const DIMENSION = 384
/** Adapters lie around so many subjects. */
const SUBJECTS = 120
const K = 8

type Settings = {
  readonly pool: number
  readonly samples: number
  readonly rows: number
  readonly windows: number
}

export const retrieval = benchCommand({
  name: 'retrieval',
  opens: 'nothing',
  about: `Finding the ${K} likeliest adapters for a window of prompts in a large pool, the encoder not counted:
--scorer says by what, hnsw against exact search. Adapters are random: vectors around ${SUBJECTS} subjects,
and texts that begin alike. A window at a time, in one thread, after all prompts were searched for
once. Recall is the share of what exact search finds.
--pool 48 --samples 20 fits the hybrid whole.`,
  options: {
    pool: ['N', 'adapters (default: 2000)'],
    samples: ['N', 'samples of each (default: 5)'],
    rows: ['N', 'prompts of a window (default: 32)'],
    windows: ['N', 'windows (default: 1000)'],
  },
  prepare(given) {
    const settings = {
      pool: given.integer('pool', K, MAX_POOL) ?? 2000,
      samples: given.integer('samples', 1, MAX_SAMPLES) ?? 5,
      rows: given.integer('rows', 1, MAX_ROWS) ?? 32,
      windows: given.integer('windows', 1, MAX_WINDOWS) ?? 1000,
    }
    return bench => measure(settings, bench)
  },
})

async function measure(settings: Settings, bench: Bench): Promise<void> {
  const { choice, terminal, signal } = bench
  const { pool, rows, windows } = settings
  terminal.progress('making adapters and prompts …')
  const adapters = syntheticTasks(pool, settings.samples, 1)
  const prompts = syntheticTasks(pool, 1, 2).flat()
  const exact = scorers[choice.scorer]()
  const near = scorers[choice.scorer]({ index: hnsw() })
  const found: Scored[][] = []
  for (const [index, scorer] of [
    ['exact', exact],
    ['hnsw', near],
  ] as const) {
    signal.throwIfAborted()
    terminal.progress(`filling a pool of ${pool}, searched by ${index} …`)
    const begun = performance.now()
    for (const [at, samples] of adapters.entries()) scorer.add(String(at), samples)
    const [added, used] = [performance.now(), process.cpuUsage()]
    const steps: number[] = []
    let step = added
    for (const _ of scorer.prepare()) {
      steps.push(performance.now() - step)
      step = performance.now()
    }
    const [openMs, fitMs, fitCpuMs] = [performance.now() - begun, performance.now() - added, cpuMsSince(used)]
    const { ms, cpuMs, hits } = search(scorer, prompts, settings)
    found.push(hits)
    const parameters = { scorer: choice.scorer, index, pool, samples: settings.samples, rows, windows, k: K }
    const [reference = [], own = reference] = found
    await bench.report({
      case: 'retrieval',
      engine: factsOf(choice.scorer),
      parameters,
      figures: [
        figure('ms', median(ms), 'ms', `a window, median of ${windows}`),
        figure('p99Ms', percentile(ms, 0.99), 'ms', 'a window, 99th percentile'),
        figure('cpuMs', median(cpuMs), 'ms', "of the process's processor time, median: other work left out"),
        figure('p99CpuMs', percentile(cpuMs, 0.99), 'ms', 'the same, 99th percentile'),
        figure('recallPercent', 100 * recall(reference, own), '%', `of the ${K} that exact search finds`),
        figure('openMs', openMs, 'ms', 'to take all adapters in, vectors given'),
        figure('fitMs', fitMs, 'ms', 'of that, to fit what they share and each of them, in steps'),
        figure('fitCpuMs', fitCpuMs, 'ms', 'the same in processor time'),
        figure(
          'stepMs',
          steps.reduce((most, value) => Math.max(most, value), 0),
          'ms',
          'the longest of these steps: others have a turn between',
        ),
        figure('rssMb', rssMb(), 'MB', 'resident'),
      ],
    })
  }
}

function cpuMsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

type Scored = ReadonlySet<string>

function search(
  scorer: Scorer,
  prompts: readonly Sample[],
  { rows, windows }: Settings,
): { readonly ms: number[]; readonly cpuMs: number[]; readonly hits: Scored[] } {
  const [ms, cpuMs]: [number[], number[]] = [[], []]
  const questions = prompts.map(prompt => ({ ...prompt, k: K, skip: NOTHING }))
  const hits: Scored[] = []
  // By the window, as those that are timed: the collector learns how long what a search makes is kept.
  for (let at = 0; at < Math.min(questions.length, rows * windows); at += rows)
    for (const found of scorer.search(questions.slice(at, at + rows))) hits.push(new Set(found.map(({ key }) => key)))
  for (let window = 0; window < windows; window += 1) {
    const places = Array.from({ length: rows }, (_, row) => (window * rows + row) % questions.length)
    const asked = places.flatMap(at => questions[at] ?? [])
    const [begun, used] = [performance.now(), process.cpuUsage()]
    scorer.search(asked)
    ms.push(performance.now() - begun)
    cpuMs.push(cpuMsSince(used))
  }
  return { ms, cpuMs, hits }
}

const NOTHING: ReadonlySet<string> = new Set()

function recall(exact: readonly Scored[], near: readonly Scored[]): number {
  const shares = exact.map((keys, at) => [...keys].filter(key => near[at]?.has(key)).length / Math.max(1, keys.size))
  return shares.reduce((sum, share) => sum + share, 0) / Math.max(1, shares.length)
}

/** Texts of `count` tasks, each with an instruction of its own; `draw` says which of a task's texts. */
function syntheticTasks(count: number, each: number, draw: number): readonly (readonly Sample[])[] {
  const subjects = Array.from({ length: SUBJECTS }, (_, at) => direction(random(at)))
  return Array.from({ length: count }, (_, task) => {
    const own = direction(random(1_000_000 + task))
    const centre = (subjects[task % SUBJECTS] ?? own).map((value, at) => value + 0.7 * (own[at] ?? 0))
    const [instruction = ''] = sentences(1_000_000 + task, 1)
    const begin = instruction.split(' ').slice(0, 5).join(' ')
    return sentences(draw * 10_000_000 + task, each).map((text, at) => {
      const noise = direction(random(draw * 10_000_000 + task * MAX_SAMPLES + at))
      return { text: `${begin}: ${text}`, vector: unit(centre.map((value, place) => value + (noise[place] ?? 0))) }
    })
  })
}

/** A random direction, of length 1 in the mean. */
function direction(next: () => number): Float64Array {
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
  return Float64Array.from({ length: DIMENSION }, () => normal() / Math.sqrt(DIMENSION))
}

function unit(vector: Float64Array): Float32Array {
  const length = Math.hypot(...vector)
  return Float32Array.from(vector, value => value / length)
}

/** There is no engine: what a report says of one. */
function factsOf(scorer: ScorerName): EngineFacts {
  return {
    name: 'lorastream-retrieval',
    version,
    device: 'cpu',
    precision: 'float32',
    base: { id: `no model, ${scorer}`, digest: `sha256:${'0'.repeat(64)}` },
  }
}
