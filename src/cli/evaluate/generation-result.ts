import type { EngineFacts, StrategyName } from '../../events.ts'
import type { Interval } from './bootstrap.ts'
import type { Report, Summary } from './generation-report.ts'
import type { Mode } from './generation-run.ts'

export const weightings = ['uniform', 'softmax'] as const

/** How prompts are answered, in the words of the command line. */
export type GenerationChoice = {
  readonly mode: Mode
  readonly strategy: StrategyName
  readonly k: number
  readonly weights: (typeof weightings)[number]
  /** Of softmax weights. */
  readonly tau?: number
}

/** What `evaluate generation --json` prints, and what `--table` writes for each row. */
export type GenerationResult = Omit<GenerationChoice, 'tau'> &
  Report & {
    readonly tau: number | null
    /** Null where a config opened the pool, whose scorer nobody is told. */
    readonly scorer: string | null
    readonly maxTokens: number
    readonly data: string
    readonly engine: EngineFacts
    readonly date: string
    /** Of what was answered in this run; null where every answer was stored. */
    readonly tokensPerSecond: number | null
  }

/** A few lines for a reader. */
export function describe(result: GenerationResult): string {
  const { n, perAdapter, overall, interval, normalised, normalisedInterval, tokensPerSecond, perfect } = result
  const clusters = Object.entries(result.clusters)
  const width = Math.max(...clusters.map(([name]) => name.length), 'overall'.length)
  const line = (name: string, { score, perfect: own, normalised: share }: Row) =>
    `${name.padEnd(width)}  ${number(score)}  ${number(own)}  ${share === null ? '     -' : number(share)}`
  return [
    `${titleOf(result)}: ${n} items of ${Object.keys(perAdapter).length} adapters`,
    `${''.padEnd(width)}   score     own  % of own`,
    ...clusters.map(([name, cluster]) => line(name, cluster)),
    line('overall', { score: overall, perfect, normalised }),
    `95 %: score ${range(interval)}${normalisedInterval === null ? '' : `, of own ${range(normalisedInterval)} %`}`,
    tokensPerSecond === null ? 'every answer was stored' : `${tokensPerSecond.toFixed(0)} new tokens/s`,
  ].join('\n')
}

type Row = Pick<Summary, 'score' | 'perfect' | 'normalised'>

/** `mixture, k = 3, softmax weights, OOD`. */
export function titleOf({
  mode,
  strategy,
  k,
  weights,
  tau,
}: Pick<GenerationResult, 'mode' | 'strategy' | 'k' | 'weights' | 'tau'>): string {
  if (mode === 'perfect') return 'perfect selection'
  if (strategy === 'base') return 'base'
  const weighting = weights === 'softmax' ? `, softmax weights at ${tau}` : ''
  return `${strategy}, k = ${k}${weighting}, ${mode.toUpperCase()}`
}

export function range([low, high]: Interval): string {
  return `${low.toFixed(1)} to ${high.toFixed(1)}`
}

function number(value: number): string {
  return value.toFixed(1).padStart(6)
}
