import type { HeldOut } from '../ports.ts'

/** Others that share a prompt's probability with its best adapter, when it is calibrated and when it is told; the rest have none. */
export const RIVALS = 32

/** What a sample scored for its own adapter and for others, in any order: the best of these are told. */
export function heldOut(own: number, others: readonly number[]): HeldOut {
  return { own, others: others.toSorted((one, other) => other - one).slice(0, RIVALS) }
}

/** `most` of `count` places, evenly spread; all where there are no more. */
export function evenly(count: number, most: number): readonly number[] {
  const chosen = Math.min(count, most)
  return Array.from({ length: chosen }, (_, at) => Math.floor((at * count) / chosen))
}
