import type { Scored } from '../ports.ts'
import { reused } from './reused.ts'

/**
 * The best `k` of these that `skip` does not hold, higher scores first; ties by key, so that the answer is the same every
 * time. Most are passed over at a glance, and `k` is small: shifting those before it is as fast as a heap.
 */
export function bestOf(
  keys: ArrayLike<string>,
  scores: Float32Array | Float64Array,
  k: number,
  skip?: ReadonlySet<string>,
): readonly Scored[] {
  const best = placesOf(Math.min(k, scores.length))
  let count = 0
  let least = k > 0 ? -Infinity : Infinity
  for (let at = 0; at < scores.length; at += 1) {
    const score = scores[at] ?? 0
    if (score < least) continue
    const key = keys[at] ?? ''
    if (skip?.has(key) === true) continue
    let place = count
    for (; place > 0; place -= 1) {
      const before = best[place - 1] ?? 0
      const other = scores[before] ?? 0
      if (other > score || (other === score && (keys[before] ?? '') < key)) break
      if (place < k) best[place] = before
    }
    if (place < k) best[place] = at
    if (count < k) count += 1
    if (count === k) least = scores[best[k - 1] ?? 0] ?? least
  }
  const found: Scored[] = []
  for (let place = 0; place < count; place += 1) {
    const at = best[place] ?? 0
    found.push({ key: keys[at] ?? '', score: scores[at] ?? 0 })
  }
  return found
}

/** The value at this place of the falling order, from 1 on: Hoare's selection, which sorts no more than it must. */
export function atPlace(values: Float32Array, place: number): number {
  const parted = partedOf(values.length)
  parted.set(values)
  const wanted = place - 1
  let [first, last] = [0, values.length - 1]
  while (first < last) {
    const pivot = parted[wanted] ?? 0
    let [left, right] = [first, last]
    while (left <= right) {
      while ((parted[left] ?? 0) > pivot) left += 1
      while ((parted[right] ?? 0) < pivot) right -= 1
      if (left > right) break
      const value = parted[left] ?? 0
      parted[left] = parted[right] ?? 0
      parted[right] = value
      left += 1
      right -= 1
    }
    if (right < wanted) first = left
    if (wanted < left) last = right
  }
  return parted[wanted] ?? -Infinity
}

/** Where the best stand, in their order. */
const placesOf = reused(Int32Array)
const partedOf = reused(Float32Array)
