import type { VectorIndex } from '../ports.ts'
import { DenseRows } from './dense-rows.ts'
import { bestOf, type Scored } from './ranking.ts'
import { RoundedRows } from './rounded-rows.ts'
import { checkVector } from './vectors.ts'

/**
 * Exact search over all vectors: the same answer every time, ties by key, nothing to tune or rebuild. Rounded vectors tell
 * who may be among the nearest, and those are compared as they are, in 32 bits: a query over 2,000 vectors of 384 dimensions
 * takes less than a tenth of a millisecond. A vector takes six bytes a dimension.
 */
export function flat(): VectorIndex {
  return new FlatIndex()
}

/** Blocks for each vector that is wanted: the more, the fewer are compared in 32 bits, and the more are sorted. */
const BLOCKS_FOR_ONE = 4

class FlatIndex implements VectorIndex {
  #rows: { readonly exact: DenseRows<Float32Array>; readonly rounded: RoundedRows } | undefined
  readonly #slotOf = new Map<string, number>()
  /** Both of {@link #slotOf}, side by side; made anew at the first search after a change. */
  #listed: { readonly keys: readonly string[]; readonly slots: readonly number[] } | undefined

  get size(): number {
    return this.#slotOf.size
  }

  add(key: string, vector: Float32Array): void {
    checkVector(vector, this.#rows?.exact.length ?? vector.length, `"${key}"`)
    const { exact, rounded } = (this.#rows ??= {
      exact: new DenseRows(Float32Array, vector.length),
      rounded: new RoundedRows(vector.length),
    })
    // Both are given the same slots.
    const slot = exact.put(vector, this.#slotOf.get(key))
    rounded.put(vector, this.#slotOf.has(key) ? slot : undefined)
    this.#slotOf.set(key, slot)
    this.#listed = undefined
  }

  remove(key: string): void {
    const slot = this.#slotOf.get(key)
    if (slot === undefined) return
    this.#rows?.exact.drop(slot)
    this.#rows?.rounded.drop(slot)
    this.#slotOf.delete(key)
    this.#listed = undefined
  }

  search(vector: Float32Array, k: number, skip: ReadonlySet<string>): readonly Scored[] {
    if (this.#rows === undefined) return []
    const { exact, rounded } = this.#rows
    checkVector(vector, exact.length, 'a query')
    const { keys, slots } = (this.#listed ??= { keys: [...this.#slotOf.keys()], slots: [...this.#slotOf.values()] })
    const { products, within } = rounded.products(vector, slots)
    // At least `k` that are not skipped have a rounded product of that or more. Each may be off by `within`.
    const least = sure(products, k + skip.size) - 2 * within
    const near: string[] = []
    const nearSlots: number[] = []
    for (let at = 0; at < products.length; at += 1) {
      if ((products[at] ?? 0) < least) continue
      near.push(keys[at] ?? '')
      nearSlots.push(slots[at] ?? 0)
    }
    return bestOf(near, exact.products(vector, nearSlots), k, skip)
  }
}

/**
 * A number that at least `count` of the products are not below. Products are taken in blocks, more of them than are wanted: it
 * is the one at place `count` of the blocks' largest, and only these are sorted.
 */
function sure(products: Float32Array, count: number): number {
  if (count > products.length) return -Infinity
  const some = Math.max(1, Math.floor(products.length / (BLOCKS_FOR_ONE * count)))
  const blocks = Math.ceil(products.length / some)
  const largest = new Float32Array(blocks)
  for (let block = 0, at = 0; block < blocks; block += 1) {
    const end = Math.min(at + some, products.length)
    let most = products[at] ?? 0
    for (at += 1; at < end; at += 1) most = Math.max(most, products[at] ?? 0)
    largest[block] = most
  }
  return largest.toSorted()[blocks - count] ?? -Infinity
}
