import type { Question } from '../ports.ts'
import { SUMS_OF_BLOCK } from './kernels.ts'
import { atPlace } from './ranking.ts'
import { reused } from './reused.ts'
import { APART, firstOf, RoundedRows, type RoundedProducts } from './rounded-rows.ts'
import { checkVector } from './vectors.ts'

/** Where vectors stand among the rows, their products in a unit of the question's, and their keys: there may be more of these. */
export type Near = {
  readonly question: Question
  readonly keys: readonly string[]
  readonly slots: Int32Array
  readonly products: Float32Array
}

type Listed = { readonly keys: readonly string[]; readonly slots: Int32Array }

/** Vectors by key as whole numbers of 16 bits, which tell nearly who is nearest: two bytes a dimension. */
export class RoundedIndex {
  readonly #rows: RoundedRows
  readonly #slotOf = new Map<string, number>()
  /** Both of {@link #slotOf}, side by side; made anew at the first search after a change. */
  #listed: Listed | undefined
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
   * For each question those that are nearest by rounded products, until the next is looked at: in no order, and some more than
   * its `k` and those that it skips. With `certain` the nearest by their right products are among them.
   * @throws ModelError when a vector has another dimension than the rows, or a value that is not finite.
   */
  *near(questions: readonly Question[], certain: boolean): Generator<Near, void> {
    const vectors = questions.map(({ vector }) => vector)
    for (const vector of vectors) checkVector(vector, this.#length, 'a query')
    const listed = (this.#listed ??= {
      keys: [...this.#slotOf.keys()],
      slots: Int32Array.from(this.#slotOf.values()),
    })
    const products = this.#rows.products(vectors, listed.slots)
    for (const question of questions) {
      const { value } = products.next()
      if (value === undefined) return
      const { largest, within } = value
      const wanted = Math.max(1, question.k) + question.skip.size
      // As many products as blocks are not below the largest of the block at that place. Each may be off by `within`.
      const least = (wanted > largest.length ? -Infinity : atPlace(largest, wanted)) - (certain ? 2 * within : 0)
      yield { question, ...this.#from(least, listed, value) }
    }
  }

  /** Those whose product is not below the `least`. */
  #from(least: number, { keys, slots }: Listed, { products, largest }: RoundedProducts): Omit<Near, 'question'> {
    const nearSlots = this.#slots(products.length)
    const nearProducts = this.#products(products.length)
    let count = 0
    for (let block = 0; block < largest.length; block += 1) {
      if ((largest[block] ?? 0) < least) continue
      const first = firstOf(block)
      const end = Math.min(first + APART * SUMS_OF_BLOCK, products.length)
      for (let at = first; at < end; at += APART) {
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
