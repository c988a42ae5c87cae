/** What a row takes: tokens of its prompt, new tokens at most, and bytes of its gathered LoRAs. */
export type RowCost = { readonly promptTokens: number; readonly newTokens: number; readonly loraBytes: number }

/** What a base takes: bytes of keys and values a token, attention heads, and tokens that the prompt pass works in at a time. */
export type BaseCost = { readonly cacheBytesPerToken: number; readonly heads: number; readonly bucketTokens: number }

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
  const runs: number[][] = []
  let run: number[] = []
  for (const place of byLength) {
    const grown = [...run, place]
    if (
      run.length > 0 &&
      runBytes(
        grown.flatMap(one => rows[one] ?? []),
        base,
      ) > budget
    ) {
      runs.push(run)
      run = [place]
    } else run = grown
  }
  return [...runs, run]
}

/** Bytes of a run, roughly: keys and values of every padded position, the prompt pass's scores, and the gathered LoRAs. */
function runBytes(rows: readonly RowCost[], { cacheBytesPerToken, heads, bucketTokens }: BaseCost): number {
  const prompt = Math.max(...rows.map(({ promptTokens }) => promptTokens))
  const steps = Math.max(...rows.map(({ newTokens }) => newTokens))
  // A step's keys and values are there twice while they grow; scores are there before and after the softmax.
  const cache = rows.length * (prompt + 2 * steps) * cacheBytesPerToken
  const scores = 2 * FLOAT_BYTES * heads * prompt * Math.min(rows.length * prompt, Math.max(prompt, bucketTokens))
  // Rows are filled up to the one with the most slots.
  const loras = rows.length * Math.max(...rows.map(({ loraBytes }) => loraBytes))
  return cache + scores + loras
}

const FLOAT_BYTES = 4
