export type Scored = { readonly key: string; readonly score: number }

/** Puts an entry where it belongs among the best `k`; `k` is small, so shifting beats a heap. */
export function insert(best: Scored[], entry: Scored, k: number): void {
  let place = best.length
  while (place > 0 && isBetter(entry, best[place - 1])) place -= 1
  if (place >= k) return
  best.splice(place, 0, entry)
  if (best.length > k) best.pop()
}

/** The best `k` of these, best first. */
export function bestOf(keys: Iterable<string>, k: number, scoreOf: (key: string) => number): readonly Scored[] {
  const found: Scored[] = []
  for (const key of keys) insert(found, { key, score: scoreOf(key) }, k)
  return found
}

/** Higher scores first; ties by key, so that the answer is the same every time. */
function isBetter(entry: Scored, other: Scored | undefined): boolean {
  if (other === undefined) return true
  return entry.score > other.score || (entry.score === other.score && entry.key < other.key)
}
