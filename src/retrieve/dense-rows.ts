import { RowMemory, type NumbersType } from './row-memory.ts'

/** Rows of one length that are multiplied with vectors, many at a time: in `Float32Array` for speed, or in `Float64Array`. */
export class DenseRows<Numbers extends Float32Array | Float64Array> {
  readonly length: number
  readonly #type: NumbersType<Numbers>
  readonly #memory: RowMemory

  constructor(type: NumbersType<Numbers>, length: number) {
    this.length = length
    this.#type = type
    const bytes = length * type.BYTES_PER_ELEMENT
    this.#memory = new RowMemory(bytes, bytes)
  }

  /** Puts values where a row was, or a new row where none is named; answers with its slot. */
  put(values: ArrayLike<number>, slot = this.#memory.take()): number {
    this.row(slot).set(values)
    return slot
  }

  /** Its slot goes to a row that is put later. */
  drop(slot: number): void {
    this.#memory.give(slot)
  }

  /** A row, until the next one is put. */
  row(slot: number): Numbers {
    return this.#at(this.#memory.address(slot))
  }

  /** Σ vector·row for each of these rows, in their order. A row's is the same whatever others are asked for. */
  products(vector: ArrayLike<number>, slots: ArrayLike<number>): Numbers {
    this.#at(0).set(vector)
    return this.#multiplied(0, 0, this.length, slots)
  }

  /** The same with one of the rows in the place of the vector, over its places from `from` to before `to` alone. */
  productsOf(slot: number, from: number, to: number, slots: ArrayLike<number>): Numbers {
    return this.#multiplied(this.#memory.address(slot), from, to, slots)
  }

  #multiplied(address: number, from: number, to: number, slots: ArrayLike<number>): Numbers {
    // A kernel goes through its loops once at least.
    if (from >= to) return new this.#type(slots.length)
    const [kernels, bytes] = [this.#memory.kernels, this.#type.BYTES_PER_ELEMENT]
    const kernel = bytes === 4 ? kernels.float32 : kernels.float64
    const [start, end] = [address + from * bytes, address + to * bytes]
    return this.#memory.multiply(
      slots,
      this.#type,
      ({ rows, end: last, sums }) => kernel(start, end, rows, last, sums),
      from * bytes,
    )
  }

  #at(address: number): Numbers {
    return new this.#type(this.#memory.buffer, address, this.length)
  }
}
