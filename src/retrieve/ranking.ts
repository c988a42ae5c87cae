export type Scored = { readonly key: string; readonly score: number }

/**
 * The best `k` of these that `skip` does not hold, higher scores first; ties by key, so that the answer is the same every
 * time. Most are passed over at a glance, and `k` is small: shifting those before it is as fast as a heap.
 */
export function bestOf(
  keys: readonly string[],
  scores: Float32Array | Float64Array,
  k: number,
  skip?: ReadonlySet<string>,
): readonly Scored[] {
  const best: Scored[] = []
  let least = k > 0 ? -Infinity : Infinity
  for (let at = 0; at < scores.length; at += 1) {
    const score = scores[at] ?? 0
    if (score < least) continue
    const key = keys[at] ?? ''
    if (skip?.has(key) === true) continue
    let place = best.length
    for (; place > 0; place -= 1) {
      const before = best[place - 1]
      if (before === undefined || before.score > score || (before.score === score && before.key < key)) break
      if (place < k) best[place] = before
    }
    if (place < k) best[place] = { key, score }
    if (best.length === k) least = best[k - 1]?.score ?? least
  }
  return best
}
