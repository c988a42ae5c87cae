import type { VectorIndex } from '../ports.ts'
import { DenseRows } from './dense-rows.ts'
import { bestOf, type Scored } from './ranking.ts'
import { reused } from './reused.ts'
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

/** Blocks for each vector that is wanted: the more, the fewer are compared in 32 bits, and the more are chosen from. */
const BLOCKS_FOR_ONE = 4

class FlatIndex implements VectorIndex {
  #rows: { readonly exact: DenseRows<Float32Array>; readonly rounded: RoundedRows } | undefined
  readonly #slotOf = new Map<string, number>()
  /** Both of {@link #slotOf}, side by side; made anew at the first search after a change. */
  #listed: { readonly keys: readonly string[]; readonly slots: Int32Array } | undefined
  /** Of those that may be among the nearest; there may be more keys than that. */
  readonly #near = { keys: [''], slots: reused(Int32Array), products: reused(Float32Array) }

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
    if (k === 0) return []
    const { keys, slots } = (this.#listed ??= {
      keys: [...this.#slotOf.keys()],
      slots: Int32Array.from(this.#slotOf.values()),
    })
    const { products, within } = rounded.products(vector, slots)
    const near = this.#near
    const wanted = k + skip.size
    const blocks = blocksOf(products, wanted)
    // At least `k` that are not skipped have a rounded product of that or more. Each may be off by `within`.
    const least = (wanted > products.length ? -Infinity : atPlace(blocks.largest, wanted)) - 2 * within
    const nearSlots = near.slots(products.length)
    let count = 0
    for (let block = 0; block < blocks.largest.length; block += 1) {
      if ((blocks.largest[block] ?? 0) < least) continue
      const end = Math.min((block + 1) * blocks.size, products.length)
      for (let at = block * blocks.size; at < end; at += 1) {
        if ((products[at] ?? 0) < least) continue
        near.keys[count] = keys[at] ?? ''
        nearSlots[count] = slots[at] ?? 0
        count += 1
      }
    }
    return bestOf(near.keys, exact.products(vector, near.slots(count), near.products(count)), k, skip)
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

/** The value at this place of the falling order, from 1 on: Hoare's selection, which sorts no more than it must. */
function atPlace(values: Float32Array, place: number): number {
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

const largestOf = reused(Float32Array)
const partedOf = reused(Float32Array)
