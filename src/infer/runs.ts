import { planBuckets } from './buckets.ts'

/** What a row takes: tokens of its prompt, new tokens at most, and bytes of its gathered LoRAs. */
export type RowCost = { readonly promptTokens: number; readonly newTokens: number; readonly loraBytes: number }

/** What runs on a base take: bytes of keys and values a token, attention heads, and whether prompts run in buckets. */
export type BaseCost = { readonly cacheBytesPerToken: number; readonly heads: number; readonly inBuckets: boolean }

/**
 * Splits a window's rows into runs that stay below `budget` bytes, as few as it takes: almost always one. Rows of
 * like length come together, so that little is padded. A row that is larger than the budget runs alone: its context
 * bounds it. Answers with places of `rows`.
 */
export function planRuns(rows: readonly RowCost[], base: BaseCost, budget: number): readonly (readonly number[])[] {
  const all = rows.map((_, place) => place)
  if (all.length === 0) return []
  if (runBytes(rows, base) <= budget) return [all]
  const byLength = all.toSorted((one, other) => (rows[one]?.promptTokens ?? 0) - (rows[other]?.promptTokens ?? 0))
  const runs: (readonly number[])[] = []
  for (let left = byLength; left.length > 0; left = left.slice(runs.at(-1)?.length)) {
    const costs = left.flatMap(place => rows[place] ?? [])
    // So many rows fit, or are one; so many do not, or are more than are left.
    let [fit, tooMany] = [1, left.length + 1]
    while (tooMany - fit > 1) {
      const middle = Math.floor((fit + tooMany) / 2)
      if (runBytes(costs.slice(0, middle), base) <= budget) fit = middle
      else tooMany = middle
    }
    runs.push(left.slice(0, fit))
  }
  return runs
}

/**
 * Bytes of a run, roughly: keys and values of every padded position, scores of the largest bucket, and the gathered LoRAs. Rows
 * that fill a bucket up are among them.
 */
function runBytes(rows: readonly RowCost[], { cacheBytesPerToken, heads, inBuckets }: BaseCost): number {
  const lengths = rows.map(({ promptTokens }) => promptTokens)
  const prompt = Math.max(...lengths)
  const steps = Math.max(...rows.map(({ newTokens }) => newTokens))
  const buckets = inBuckets ? planBuckets(lengths, steps - 1) : null
  const count = buckets?.order.length ?? rows.length
  // A step's keys and values are there twice while they grow; scores are there before and after the softmax.
  const cache = count * (prompt + 2 * steps) * cacheBytesPerToken
  const scores = 2 * FLOAT_BYTES * (count / (buckets?.widths.length ?? 1)) * heads * prompt * prompt
  // Rows are filled up to the one with the most slots.
  const loras = count * Math.max(...rows.map(({ loraBytes }) => loraBytes))
  return cache + scores + loras
}

const FLOAT_BYTES = 4
