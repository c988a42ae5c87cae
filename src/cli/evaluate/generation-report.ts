import { grouped, interval, percent, pick, resampled, type Interval } from './bootstrap.ts'
import type { Item } from './generation-items.ts'

/** An item's score under the strategy and with its own adapter alone, both from 0 to 100. */
export type Scored = { readonly item: Item; readonly score: number; readonly perfect: number }

export type Summary = {
  readonly n: number
  readonly adapters: number
  /** Mean over adapters of the mean over their items. */
  readonly score: number
  readonly perfect: number
  /** `score` in percent of `perfect`; null where that is 0. */
  readonly normalised: number | null
}

export type Report = {
  readonly n: number
  /** Mean over adapters of the mean over their items, from 0 to 100. */
  readonly overall: number
  readonly perfect: number
  /** `overall` in percent of `perfect`; null where that is 0. */
  readonly normalised: number | null
  /** 95 % of `overall`, and of `normalised`: bootstrap over adapters, then over the items of each. */
  readonly interval: Interval
  readonly normalisedInterval: Interval | null
  readonly clusters: Readonly<Record<string, Summary>>
  readonly perAdapter: Readonly<Record<string, Summary>>
}

/**
 * Scores by cluster, by adapter and overall. The interval is that of a bootstrap in two steps, of adapters and then of
 * each one's items, with a fixed seed; strategy and perfect selection are resampled together, so that their ratio's
 * interval is paired.
 */
export function reportOf(scored: readonly Scored[]): Report {
  const byAdapter = grouped(scored, ({ item }) => item.adapter)
  const all = summary(scored)
  const { overall, ratio } = bootstrap([...byAdapter.values()])
  return {
    n: all.n,
    overall: all.score,
    perfect: all.perfect,
    normalised: all.normalised,
    interval: interval(overall),
    normalisedInterval: ratio.length === 0 ? null : interval(ratio),
    clusters: summaries(grouped(scored, ({ item }) => item.cluster)),
    perAdapter: summaries(byAdapter),
  }
}

function summaries(groups: ReadonlyMap<string, readonly Scored[]>): Readonly<Record<string, Summary>> {
  return Object.fromEntries([...groups].map(([name, group]) => [name, summary(group)]))
}

function summary(scored: readonly Scored[]): Summary {
  const adapters = [...grouped(scored, ({ item }) => item.adapter).values()]
  const score = mean(adapters.map(group => mean(group.map(one => one.score))))
  const perfect = mean(adapters.map(group => mean(group.map(one => one.perfect))))
  return {
    n: scored.length,
    adapters: adapters.length,
    score,
    perfect,
    normalised: perfect === 0 ? null : percent(score, perfect),
  }
}

/** Means of resamples; ratios only where perfect selection scores anything. */
function bootstrap(adapters: readonly (readonly Scored[])[]): {
  readonly overall: readonly number[]
  readonly ratio: readonly number[]
} {
  const sums = resampled(next => {
    let [score, perfect] = [0, 0]
    for (let drawn = 0; drawn < adapters.length; drawn += 1) {
      const items = pick(adapters, next)
      for (let place = 0; place < items.length; place += 1) {
        const one = pick(items, next)
        score += one.score / items.length
        perfect += one.perfect / items.length
      }
    }
    return { score, perfect }
  })
  return {
    overall: sums.map(({ score }) => score / adapters.length),
    ratio: sums.filter(({ perfect }) => perfect > 0).map(({ score, perfect }) => percent(score, perfect)),
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
