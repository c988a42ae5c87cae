import type { HeldOut } from '../ports.ts'

/** Others that share a prompt's probability with its best adapter, when it is calibrated and when it is told; the rest have none. */
export const RIVALS = 32

/**
 * What a sample scored for its own adapter, for others beside it, and for these where it is excluded, which by default
 * makes no difference; in any order: the best of them are told.
 */
export function heldOut(own: number, others: Iterable<number>, without = others): HeldOut {
  const best = bestFirst(others)
  return { own, others: best, without: without === others ? best : bestFirst(without) }
}

const bestFirst = (scores: Iterable<number>): readonly number[] =>
  [...scores].toSorted((one, other) => other - one).slice(0, RIVALS)

/** `most` of `count` places, evenly spread; all where there are no more. */
export function evenly(count: number, most: number): readonly number[] {
  const chosen = Math.min(count, most)
  return Array.from({ length: chosen }, (_, at) => Math.floor((at * count) / chosen))
}
