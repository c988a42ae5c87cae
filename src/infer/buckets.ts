/** Rows of a run for the prompt pass: buckets of equally many, each padded to a width of its own. */
export type Buckets = {
  /** Places of the rows, bucket after bucket, shorter prompts first; null fills the first bucket up. */
  readonly order: readonly (number | null)[]
  /** Tokens that each bucket's prompts are padded to; the last is the largest. */
  readonly widths: readonly number[]
}

/**
 * Prompts are padded to a multiple of this. ONNX Runtime adds up a softmax in as many lanes: with other padding the same
 * row's sum would round another way, and int8 makes another token of the last bit.
 */
const WIDTH_STEP = 16

/**
 * At most so many tokens, padding included, in a bucket of several rows: more take more memory, and a token takes as long
 * from 512 on (SmolLM2-135M at int8, 2 cores: 1.0 ms in 4 × 128, in 8 × 128 and in 16 × 128).
 */
const MAX_BUCKET_TOKENS = 1024

/** What a bucket costs beside its tokens, in tokens: on that machine 16 tokens alone take 28 ms, and 64 take 76. */
const BUCKET_COST = 16

/** What a row that fills up costs at a decode step, in tokens of the prompt pass: a step of 16 rows takes 36 ms there. */
const STEP_COST = 2

export function paddedWidth(tokens: number): number {
  return WIDTH_STEP * Math.ceil(tokens / WIDTH_STEP)
}

/**
 * The buckets that cost least, for prompts of these lengths (in tokens, at least one prompt) and `steps` decode steps after
 * them. Rows that fill up have one token.
 */
export function planBuckets(lengths: readonly number[], steps: number): Buckets {
  const sorted = lengths.map((_, place) => place).toSorted((one, other) => (lengths[one] ?? 0) - (lengths[other] ?? 0))
  const bucketsOf = (rows: number): Buckets => {
    const count = Math.ceil(lengths.length / rows)
    const order = [...Array<null>(count * rows - lengths.length).fill(null), ...sorted]
    // The last of a bucket is its longest.
    const widths = Array.from({ length: count }, (_, bucket) =>
      paddedWidth(lengths[order[(bucket + 1) * rows - 1] ?? -1] ?? 1),
    )
    return { order, widths }
  }
  const costOf = ({ order, widths }: Buckets): number => {
    const rows = order.length / widths.length
    const filling = order.length - lengths.length
    return widths.reduce((sum, width) => sum + rows * width + BUCKET_COST, filling * steps * STEP_COST)
  }
  // A row at a time always fits.
  let best = bucketsOf(1)
  for (let rows = 2; rows <= Math.min(lengths.length, MAX_BUCKET_TOKENS / WIDTH_STEP); rows += 1) {
    const buckets = bucketsOf(rows)
    const fits = rows * (buckets.widths.at(-1) ?? 0) <= MAX_BUCKET_TOKENS
    if (fits && costOf(buckets) < costOf(best)) best = buckets
  }
  return best
}
