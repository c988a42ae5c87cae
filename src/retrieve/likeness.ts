import { DenseRows } from './dense-rows.ts'
import { reused } from './reused.ts'

/** β: an adapter as like as can be gets e⁸ times the share of one that is like the pool's middle. */
const SHARPNESS = 8

/** Of a squared length, 1 being usual: what rounding leaves of a mean that is the pool's middle itself. */
const NOTHING = 1e-6

/** `slot` is where the mean of an adapter's samples stands; the others are of what it is apart from the pool's middle. */
type Entry = { readonly slot: number; middle: number; length: number }

/** Stands where no adapter is, which is nobody's wish. */
const NOBODY: Entry = { slot: 0, middle: 0, length: 0 }

/**
 * How alike adapters are: the cosine between the means of their samples, after the mean of all adapters is taken from both,
 * for that is what all prompts have in common.
 */
export class Likeness {
  readonly #entries = new Map<string, Entry>()
  #rows: DenseRows<Float32Array> | undefined
  /** Σ of the means. */
  #sum = new Float64Array(0)
  /** The squared length of their mean; none after a change. */
  #middle: number | undefined
  readonly #slots = reused(Int32Array)
  readonly #products = reused(Float32Array)
  readonly #shares = reused(Float64Array)

  /** `mean` is of unit length; an adapter that was there before is replaced. */
  add(key: string, mean: Float32Array): void {
    this.remove(key)
    this.#rows ??= new DenseRows(Float32Array, mean.length)
    // Whatever rounding left of those that went.
    if (this.#entries.size === 0) this.#sum = new Float64Array(mean.length)
    for (let at = 0; at < mean.length; at += 1) this.#sum[at] = (this.#sum[at] ?? 0) + (mean[at] ?? 0)
    this.#entries.set(key, { slot: this.#rows.put(mean), middle: 0, length: 0 })
    this.#middle = undefined
  }

  remove(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined || this.#rows === undefined) return
    const mean = this.#rows.row(entry.slot)
    for (let at = 0; at < mean.length; at += 1) this.#sum[at] = (this.#sum[at] ?? 0) - (mean[at] ?? 0)
    this.#rows.drop(entry.slot)
    this.#entries.delete(key)
    this.#middle = undefined
  }

  /**
   * For the adapter at a place among these, what prompts that seem to be its own are worth for each of the others:
   * softmax(β·likeness), and 0 for itself, until the next is asked for, or others are. All must have been added.
   */
  among(keys: readonly string[]): (from: number) => Float64Array {
    const middle = this.#placed()
    const slots = this.#slots(keys.length)
    for (let at = 0; at < keys.length; at += 1) slots[at] = this.#entry(keys[at]).slot
    return from => {
      const shares = this.#shares(keys.length).fill(0)
      if (this.#rows === undefined) return shares
      const own = this.#entry(keys[from])
      const products = this.#rows.productsOf(own.slot, 0, this.#rows.length, slots, this.#products(slots.length))
      let total = 0
      for (let at = 0; at < keys.length; at += 1) {
        if (at === from) continue
        const other = this.#entry(keys[at])
        const apart = (products[at] ?? 0) - own.middle - other.middle + middle
        const lengths = own.length * other.length
        const share = Math.exp(lengths === 0 ? 0 : (SHARPNESS * apart) / lengths)
        shares[at] = share
        total += share
      }
      if (total > 0) for (let at = 0; at < shares.length; at += 1) shares[at] = (shares[at] ?? 0) / total
      return shares
    }
  }

  #entry(key: string | undefined): Entry {
    return (key === undefined ? undefined : this.#entries.get(key)) ?? NOBODY
  }

  /** Brings all entries up to date, and gives the squared length of the pool's middle. */
  #placed(): number {
    if (this.#middle !== undefined) return this.#middle
    const entries = [...this.#entries.values()]
    const mean = this.#sum.map(value => value / entries.length)
    const squared = mean.reduce((sum, value) => sum + value * value, 0)
    const products = this.#rows?.products(
      mean,
      entries.map(({ slot }) => slot),
    )
    for (const [at, entry] of entries.entries()) {
      entry.middle = products?.[at] ?? 0
      const length = 1 - 2 * entry.middle + squared
      entry.length = length < NOTHING ? 0 : Math.sqrt(length)
    }
    return (this.#middle = squared)
  }
}
