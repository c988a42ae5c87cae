export type Scored = { readonly key: string; readonly score: number }

/** Puts an entry where it belongs among the best `k`; `k` is small, so shifting beats a heap. */
export function insert(best: Scored[], entry: Scored, k: number): void {
  let place = best.length
  for (; place > 0; place -= 1) {
    const before = best[place - 1]
    if (before === undefined || !isBetter(entry, before)) break
    if (place < k) best[place] = before
  }
  if (place < k) best[place] = entry
}

/** The best `k` of these, best first. */
export function bestOf(keys: readonly string[], scores: ArrayLike<number>, k: number): readonly Scored[] {
  const found: Scored[] = []
  for (const [at, key] of keys.entries()) insert(found, { key, score: scores[at] ?? 0 }, k)
  return found
}

/** Higher scores first; ties by key, so that the answer is the same every time. */
function isBetter(entry: Scored, other: Scored): boolean {
  return entry.score > other.score || (entry.score === other.score && entry.key < other.key)
}
