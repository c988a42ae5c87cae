import { RowMemory } from './row-memory.ts'
import type { RidgeWeights } from './ridge.ts'
import { PLACES, type TextVector } from './text-vectors.ts'

/** Where the vector's values stand in the memory; its places come before them, two bytes each. */
const NUMBERS = 2 * PLACES

/** Between rows: one place of all would otherwise have to share a few lines of the processor's cache. */
const GAP = 64

/** Adapters' weights, many of which a text is multiplied with at a time. */
export class WeightRows {
  readonly #memory = new RowMemory(PLACES + GAP, NUMBERS + 4 * PLACES)
  readonly #units: number[] = []

  /** Answers with their slot. */
  put({ values, unit }: RidgeWeights): number {
    const slot = this.#memory.take()
    new Int8Array(this.#memory.buffer, this.#memory.address(slot), PLACES).set(values)
    this.#units[slot] = unit
    return slot
  }

  /** Their slot goes to weights that are put later. */
  drop(slot: number): void {
    this.#memory.give(slot)
  }

  /** The text's inner product with the weights at each of these slots, in their order. */
  products({ ids, values }: TextVector, slots: readonly number[]): Float32Array {
    const { buffer, kernels } = this.#memory
    new Uint16Array(buffer, 0, ids.length).set(ids)
    new Float32Array(buffer, NUMBERS, values.length).set(values)
    return this.#memory
      .multiply(slots, Float32Array, ({ rows, end, sums }) =>
        kernels.sparse(0, 2 * ids.length, NUMBERS, rows, end, sums),
      )
      .map((sum, at) => sum * (this.#units[slots[at] ?? 0] ?? 0))
  }
}
