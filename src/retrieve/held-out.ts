import type { HeldOut } from '../ports.ts'

/** Other adapters whose scores are told of a sample that was left out; the rest weigh nothing. */
export const HELD_OUT_OTHERS = 32

/** What a sample scored for its own adapter and for others, in any order: the best of these are told. */
export function heldOut(own: number, others: readonly number[]): HeldOut {
  return { own, others: others.toSorted((one, other) => other - one).slice(0, HELD_OUT_OTHERS) }
}

/** `most` of `count` places, evenly spread; all where there are no more. */
export function evenly(count: number, most: number): readonly number[] {
  const chosen = Math.min(count, most)
  return Array.from({ length: chosen }, (_, at) => Math.floor((at * count) / chosen))
}
