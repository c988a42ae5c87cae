import { reused } from './reused.ts'
import { RowMemory, wholeRegisters } from './row-memory.ts'

const MOST = 32_767

/**
 * Vectors as whole numbers of 16 bits: half the memory and half the time of float32 for products that are nearly right, and
 * the most that they can be off.
 */
export class RoundedRows {
  readonly #length: number
  readonly #memory: RowMemory<Float32Array>
  /** What a value is rounded to, at most. The kernel has four sums, and two places of every eight go to each: below 2³¹. */
  readonly #most: number
  readonly #products = reused(Float32Array)
  /** Of all rows that ever were: the longest, and the furthest from what it was rounded to. */
  #longest = 0
  #furthest = 0

  constructor(length: number) {
    this.#length = length
    this.#memory = new RowMemory(wholeRegisters(2 * length) + 4, 2 * length, Float32Array)
    this.#most = Math.min(MOST, Math.floor(Math.sqrt(2 ** 31 / (2 * Math.ceil(length / 8)))) - 1)
  }

  /** Puts a vector where a row was, or a new row where none is named; answers with its slot. */
  put(vector: Float32Array, slot = this.#memory.take()): number {
    const address = this.#memory.address(slot)
    const { unit, length, error } = this.#round(vector, address)
    new Float32Array(this.#memory.buffer, this.#unitAt(address), 1)[0] = unit
    this.#longest = Math.max(this.#longest, length)
    this.#furthest = Math.max(this.#furthest, error)
    return slot
  }

  /** Its slot goes to a row that is put later. */
  drop(slot: number): void {
    this.#memory.give(slot)
  }

  /**
   * Products with each of these rows, until others are asked for, and how far these can be from the right ones: both
   * divided by the vector's unit, which changes no order.
   */
  products(
    vector: Float32Array,
    slots: ArrayLike<number>,
  ): { readonly products: Float32Array; readonly within: number } {
    const { unit, length, error } = this.#round(vector, 0)
    const { kernels } = this.#memory
    const bytes = 2 * this.#length
    const products = this.#memory.multiply(
      slots,
      (rows, end, sums) => kernels.int16(0, bytes, rows, end, sums),
      0,
      this.#products(slots.length),
    )
    // |q·r − q̂·r̂| ≤ |q − q̂|·|r| + |q̂|·|r − r̂|, and a little for what sums and units in 32 bits lose.
    const within = error * this.#longest + (length + error) * this.#furthest + 1e-6 * length * this.#longest
    return { products, within: within / unit }
  }

  /** Where a row's unit stands, behind its whole numbers. */
  #unitAt(address: number): number {
    return address + wholeRegisters(2 * this.#length)
  }

  /** Writes a vector to an address, and tells its length, what a whole number stands for, and the length of what was lost. */
  #round(
    vector: Float32Array,
    address: number,
  ): { readonly unit: number; readonly length: number; readonly error: number } {
    const rounded = new Int16Array(this.#memory.buffer, address, this.#length)
    let largest = 0
    for (let at = 0; at < vector.length; at += 1) {
      const size = Math.abs(vector[at] ?? 0)
      if (size > largest) largest = size
    }
    const unit = largest === 0 ? 1 : largest / this.#most
    const inUnits = 1 / unit
    let squares = 0
    let lost = 0
    for (let at = 0; at < vector.length; at += 1) {
      const value = vector[at] ?? 0
      const whole = Math.round(value * inUnits)
      rounded[at] = whole
      squares += value * value
      lost += (value - whole * unit) ** 2
    }
    return { unit, length: Math.sqrt(squares), error: Math.sqrt(lost) }
  }
}
