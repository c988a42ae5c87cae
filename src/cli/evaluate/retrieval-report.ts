import { grouped, interval, percent, pick, resampled, type Interval } from './bootstrap.ts'
import type { LabelledPrompt } from './retrieval-files.ts'

/** What was found for a prompt, best first. */
export type Ranked = { readonly prompt: LabelledPrompt; readonly found: readonly string[] }

export const depths = [1, 3, 5, 8] as const

/** Percent of prompts whose adapter was among the first 1, 3, 5 and 8. */
export type Top = Readonly<Record<`${(typeof depths)[number]}`, number>>

export type RetrievalReport = {
  /** Prompts. */
  readonly n: number
  /** Prompts whose own adapter could be found: it was not excluded. `top` is of these; null where there are none. */
  readonly findable: number
  readonly top: Top | null
  /** Percent whose first hit is of the prompt's group; null where no prompt has a group. */
  readonly group: number | null
  /** 95 % of top-1: bootstrap over adapters. */
  readonly interval: Interval | null
  readonly perAdapter: Readonly<Record<string, { readonly n: number; readonly top: Top }>>
  /** Prompts of one adapter whose first hit was another: the commonest pairs. */
  readonly confusions: readonly { readonly adapter: string; readonly found: string; readonly count: number }[]
}

const MAX_CONFUSIONS = 20

/** Figures of a retrieval. Percentages are over prompts; adapters with more prompts count for more, as in the paper. */
export function retrievalReport(ranked: readonly Ranked[]): RetrievalReport {
  const findable = ranked.filter(({ prompt }) => !prompt.exclude.includes(prompt.adapter))
  const byAdapter = new Map(
    [...grouped(findable, ({ prompt }) => prompt.adapter)].toSorted(([one], [other]) => (one < other ? -1 : 1)),
  )
  return {
    n: ranked.length,
    findable: findable.length,
    top: findable.length === 0 ? null : topOf(findable),
    group: groupOf(ranked),
    interval: findable.length === 0 ? null : intervalOf([...byAdapter.values()]),
    perAdapter: Object.fromEntries([...byAdapter].map(([id, own]) => [id, { n: own.length, top: topOf(own) }])),
    confusions: confusionsOf(findable),
  }
}

function topOf(ranked: readonly Ranked[]): Top {
  const within = (depth: number): number => percent(ranked.filter(one => isWithin(one, depth)).length, ranked.length)
  return { 1: within(1), 3: within(3), 5: within(5), 8: within(8) }
}

function isWithin({ prompt, found }: Ranked, depth: number): boolean {
  return found.slice(0, depth).includes(prompt.adapter)
}

/** An adapter's group is that of its prompts. */
function groupOf(ranked: readonly Ranked[]): number | null {
  const groups = new Map(ranked.map(({ prompt }) => [prompt.adapter, prompt.group]))
  const labelled = ranked.filter(({ prompt }) => prompt.group !== undefined)
  if (labelled.length === 0) return null
  const right = labelled.filter(({ prompt, found: [first = ''] }) => groups.get(first) === prompt.group)
  return percent(right.length, labelled.length)
}

function intervalOf(adapters: readonly (readonly Ranked[])[]): Interval {
  const counts = adapters.map(own => ({ n: own.length, hits: own.filter(one => isWithin(one, 1)).length }))
  const shares = resampled(next => {
    let [n, hits] = [0, 0]
    for (let drawn = 0; drawn < counts.length; drawn += 1) {
      const one = pick(counts, next)
      n += one.n
      hits += one.hits
    }
    return percent(hits, n)
  })
  return interval(shares)
}

function confusionsOf(ranked: readonly Ranked[]): RetrievalReport['confusions'] {
  const counts = new Map<string, { readonly adapter: string; readonly found: string; count: number }>()
  for (const {
    prompt,
    found: [first],
  } of ranked) {
    if (first === undefined || first === prompt.adapter) continue
    const pair = JSON.stringify([prompt.adapter, first])
    const known = counts.get(pair) ?? { adapter: prompt.adapter, found: first, count: 0 }
    known.count += 1
    counts.set(pair, known)
  }
  return [...counts.values()]
    .toSorted(
      (one, other) => other.count - one.count || (one.adapter + one.found < other.adapter + other.found ? -1 : 1),
    )
    .slice(0, MAX_CONFUSIONS)
}
