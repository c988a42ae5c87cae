import { random } from '../bench/random.ts'

/** 95 % of the resamples lie between these. */
export type Interval = readonly [low: number, high: number]

/** Enough that the first decimal of an interval of percentages stands. */
const RESAMPLES = 2000
const SEED = 20240217

/** What `draw` makes of each of 2000 resamples; the same every time, for the seed is fixed. */
export function resampled<T>(draw: (next: () => number) => T): readonly T[] {
  const next = random(SEED)
  return Array.from({ length: RESAMPLES }, () => draw(next))
}

/** One of the values, each as likely as the others; throws where there are none. */
export function pick<T>(values: readonly T[], next: () => number): T {
  const value = values[Math.floor(next() * values.length)]
  if (value === undefined) throw new Error('nothing to resample')
  return value
}

/** Between which 95 % of the values lie; NaN of none. */
export function interval(values: readonly number[]): Interval {
  const sorted = values.toSorted((one, other) => one - other)
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN
  return [at(0.025), at(0.975)]
}

/** Values by name, in the order of their first. */
export function grouped<T>(values: readonly T[], nameOf: (one: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>()
  for (const one of values) {
    const name = nameOf(one)
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [one])
    else group.push(one)
  }
  return groups
}

/** NaN of nothing. */
export function percent(part: number, whole: number): number {
  return (100 * part) / whole
}
