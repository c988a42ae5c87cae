import { reused } from './reused.ts'
import { RowMemory } from './row-memory.ts'
import type { RidgeWeights } from './ridge.ts'
import { PLACES, type TextVector } from './text-vectors.ts'

/** Where the vector's values stand in the memory; its places come before them, two bytes each. */
const NUMBERS = 2 * PLACES

/** Between rows: one place of all would otherwise have to share a few lines of the processor's cache. */
const GAP = 64

/** Adapters' weights, many of which a text is multiplied with at a time. */
export class WeightRows {
  readonly #memory = new RowMemory(PLACES + GAP, NUMBERS + 4 * PLACES, Float32Array)
  readonly #products = reused(Float32Array)
  readonly #units: number[] = []
  /** Where the text stands; made anew where the memory is another. */
  #text: TextVector | undefined

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

  /** The text's inner product with the weights at each of these slots, in their order, until others are asked for. */
  products({ ids, values }: TextVector, slots: ArrayLike<number>): Float32Array {
    const { buffer, kernels } = this.#memory
    if (this.#text?.ids.buffer !== buffer)
      this.#text = { ids: new Uint16Array(buffer, 0, PLACES), values: new Float32Array(buffer, NUMBERS, PLACES) }
    this.#text.ids.set(ids)
    this.#text.values.set(values)
    const bytes = 2 * ids.length
    const products = this.#memory.multiply(
      slots,
      (rows, end, sums) => kernels.sparse(0, bytes, NUMBERS, rows, end, sums),
      0,
      this.#products(slots.length),
    )
    const units = this.#units
    for (let at = 0; at < products.length; at += 1) products[at] = (products[at] ?? 0) * (units[slots[at] ?? 0] ?? 0)
    return products
  }
}
