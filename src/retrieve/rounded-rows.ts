import { REGISTER, ROWS_OF_CALL, SUMS_OF_BLOCK, VECTORS_AT_A_TIME } from './kernels.ts'
import { reused } from './reused.ts'
import { RowMemory, wholeRegisters } from './row-memory.ts'

const MOST = 32_767

/** Whole numbers that a register holds. */
const WHOLES = REGISTER / 2

/** Products of a block stand so far apart: as many blocks take turns. */
export const APART = REGISTER / 4

/** Products that as many blocks have together. */
const TOGETHER = APART * SUMS_OF_BLOCK

/** Fewer vectors are faster one after the other. */
const LEAST_AT_A_TIME = 3

/** Of a vector and rows, in the order of their slots: divided by the vector's unit, which changes no order. */
export type RoundedProducts = {
  readonly products: Float32Array
  /** The largest product of each block. */
  readonly largest: Float32Array
  /** The most that products can be off. */
  readonly within: number
}

type Room = ReturnType<typeof reused<Float32Array>>

/** The place of a block's first product. It has up to {@link SUMS_OF_BLOCK}. */
export const firstOf = (block: number): number => Math.floor(block / APART) * TOGETHER + (block % APART)

/**
 * Vectors as whole numbers of 16 bits: half the memory and half the time of float32 for products that are nearly right, and
 * the most that they can be off.
 */
export class RoundedRows {
  readonly #length: number
  readonly #memory: RowMemory<Float32Array>
  /** What a value is rounded to, at most. The kernel has four sums, and two places of every eight go to each: below 2³¹. */
  readonly #most: number
  /** For what is found of each vector that is taken at a time. */
  readonly #room: { readonly products: Room; readonly largest: Room }[] = []
  /** Of all rows that ever were: the longest, and the furthest from what it was rounded to. */
  #longest = 0
  #furthest = 0

  constructor(length: number) {
    this.#length = length
    const bytes = wholeRegisters(2 * length)
    // Of every row a sum with each vector; behind these the largest sums of blocks have room, too.
    this.#memory = new RowMemory(bytes + 4, VECTORS_AT_A_TIME * bytes, Float32Array, 2 * VECTORS_AT_A_TIME)
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
   * For each vector its products with these rows, until the next is asked for. Rows come from memory once for
   * {@link VECTORS_AT_A_TIME}.
   */
  *products(vectors: readonly Float32Array[], slots: ArrayLike<number>): Generator<RoundedProducts, void> {
    for (let first = 0; first < vectors.length;) {
      const count = vectors.length - first < LEAST_AT_A_TIME ? 1 : VECTORS_AT_A_TIME
      yield* this.#together(vectors.slice(first, first + count), slots)
      first += count
    }
  }

  /** The same for as many as a kernel takes, or fewer. */
  #together(vectors: readonly Float32Array[], slots: ArrayLike<number>): readonly RoundedProducts[] {
    const { kernels } = this.#memory
    const turns = vectors.length === 1 ? 1 : VECTORS_AT_A_TIME
    const bytes = turns * wholeRegisters(2 * this.#length)
    const found = vectors.map((vector, at) => {
      const { unit, length, error } = this.#round(vector, REGISTER * at, turns)
      // |q·r − q̂·r̂| ≤ |q − q̂|·|r| + |q̂|·|r − r̂|, and a little for what sums and units in 32 bits lose.
      const within = error * this.#longest + (length + error) * this.#furthest + 1e-6 * length * this.#longest
      const room = (this.#room[at] ??= { products: reused(Float32Array), largest: reused(Float32Array) })
      return {
        products: room.products(slots.length),
        largest: room.largest(blocksOf(slots.length)),
        within: within / unit,
      }
    })
    const kernel = turns === 1 ? kernels.int16 : kernels.int16s
    this.#memory.inCalls(
      slots,
      (rows, end, sums) => kernel(0, bytes, rows, end, sums),
      0,
      (sums, first, count, address) => {
        const whole = Math.ceil(count / TOGETHER) * TOGETHER
        for (let at = 0; at < found.length; at += 1) {
          const start = ROWS_OF_CALL * at
          const behind = ROWS_OF_CALL * (VECTORS_AT_A_TIME + at)
          sums.fill(-Infinity, start + count, start + whole)
          kernels.largest(address + 4 * start, address + 4 * (start + whole), address + 4 * behind)
          found[at]?.products.set(sums.subarray(start, start + count), first)
          found[at]?.largest.set(sums.subarray(behind, behind + whole / SUMS_OF_BLOCK), first / SUMS_OF_BLOCK)
        }
      },
    )
    return found
  }

  /** Where a row's unit stands, behind its whole numbers. */
  #unitAt(address: number): number {
    return address + wholeRegisters(2 * this.#length)
  }

  /**
   * Writes a vector to an address, every register of it `turns` registers further, and tells its length, what a whole number
   * stands for, and the length of what was lost.
   */
  #round(
    vector: Float32Array,
    address: number,
    turns = 1,
  ): { readonly unit: number; readonly length: number; readonly error: number } {
    const rounded = new Int16Array(this.#memory.buffer, address, (turns * wholeRegisters(2 * this.#length)) / 2)
    let largest = 0
    for (let at = 0; at < vector.length; at += 1) {
      const size = Math.abs(vector[at] ?? 0)
      if (size > largest) largest = size
    }
    const unit = largest === 0 ? 1 : largest / this.#most
    const inUnits = 1 / unit
    let squares = 0
    let lost = 0
    for (let at = 0, place = 0; at < vector.length; at += 1, place += 1) {
      if (at % WHOLES === 0) place = at * turns
      const value = vector[at] ?? 0
      const whole = Math.round(value * inUnits)
      rounded[place] = whole
      const error = value - whole * unit
      squares += value * value
      lost += error * error
    }
    return { unit, length: Math.sqrt(squares), error: Math.sqrt(lost) }
  }
}

/** How many blocks so many products have, those of no product among them. */
const blocksOf = (products: number): number => Math.ceil(products / TOGETHER) * APART
