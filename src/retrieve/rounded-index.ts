import { atPlace } from './ranking.ts'
import { reused } from './reused.ts'
import { RoundedRows } from './rounded-rows.ts'
import { checkVector } from './vectors.ts'

/** Blocks for each vector that is wanted: the more, the fewer are found beside those, and the more are chosen from. */
const BLOCKS_FOR_ONE = 4

/** Where vectors stand among the rows, their products in a unit of the query's, and their keys: there may be more of these. */
export type Near = {
  readonly keys: readonly string[]
  readonly slots: Int32Array
  readonly products: Float32Array
}

/** Vectors by key as whole numbers of 16 bits, which tell nearly who is nearest: two bytes a dimension. */
export class RoundedIndex {
  readonly #rows: RoundedRows
  readonly #slotOf = new Map<string, number>()
  /** Both of {@link #slotOf}, side by side; made anew at the first search after a change. */
  #listed: { readonly keys: readonly string[]; readonly slots: Int32Array } | undefined
  readonly #length: number
  readonly #keys: string[] = []
  readonly #slots = reused(Int32Array)
  readonly #products = reused(Float32Array)

  constructor(length: number) {
    this.#length = length
    this.#rows = new RoundedRows(length)
  }

  get size(): number {
    return this.#slotOf.size
  }

  /** Where its vector stands among the rows: the slot that was given back last, or else the next. */
  slotOf(key: string): number | undefined {
    return this.#slotOf.get(key)
  }

  /** @throws ModelError when the vector has another dimension than the rows, or a value that is not finite. */
  add(key: string, vector: Float32Array): void {
    checkVector(vector, this.#length, `"${key}"`)
    this.#slotOf.set(key, this.#rows.put(vector, this.#slotOf.get(key)))
    this.#listed = undefined
  }

  remove(key: string): void {
    const slot = this.#slotOf.get(key)
    if (slot === undefined) return
    this.#rows.drop(slot)
    this.#slotOf.delete(key)
    this.#listed = undefined
  }

  /**
   * The nearest by rounded products, until others are asked for: at least `wanted`, which is 1 or more, or all there are; in
   * no order, and a few more. With `certain` the nearest by their right products are among them.
   * @throws ModelError when the query has another dimension than the rows, or a value that is not finite.
   */
  near(vector: Float32Array, wanted: number, certain: boolean): Near {
    checkVector(vector, this.#length, 'a query')
    const { keys, slots } = (this.#listed ??= {
      keys: [...this.#slotOf.keys()],
      slots: Int32Array.from(this.#slotOf.values()),
    })
    const { products, within } = this.#rows.products(vector, slots)
    const blocks = blocksOf(products, wanted)
    // So many have a rounded product of that or more. Each may be off by `within`.
    const least = (wanted > products.length ? -Infinity : atPlace(blocks.largest, wanted)) - (certain ? 2 * within : 0)
    const nearSlots = this.#slots(products.length)
    const nearProducts = this.#products(products.length)
    let count = 0
    for (let block = 0; block < blocks.largest.length; block += 1) {
      if ((blocks.largest[block] ?? 0) < least) continue
      const end = Math.min((block + 1) * blocks.size, products.length)
      for (let at = block * blocks.size; at < end; at += 1) {
        const product = products[at] ?? 0
        if (product < least) continue
        this.#keys[count] = keys[at] ?? ''
        nearSlots[count] = slots[at] ?? 0
        nearProducts[count] = product
        count += 1
      }
    }
    return { keys: this.#keys, slots: this.#slots(count), products: this.#products(count) }
  }
}

/**
 * The largest product of every block, until others are asked for. There are more blocks than are wanted: as many products as
 * blocks are not below the largest of the block at that place.
 */
function blocksOf(products: Float32Array, wanted: number): { readonly size: number; readonly largest: Float32Array } {
  const size = Math.max(1, Math.floor(products.length / (BLOCKS_FOR_ONE * wanted)))
  const largest = largestOf(Math.ceil(products.length / size))
  for (let block = 0, at = 0; block < largest.length; block += 1) {
    const end = Math.min(at + size, products.length)
    let most = products[at] ?? 0
    for (at += 1; at < end; at += 1) {
      const product = products[at] ?? 0
      if (product > most) most = product
    }
    largest[block] = most
  }
  return { size, largest }
}

const largestOf = reused(Float32Array)
