import { RowMemory, type NumbersType } from './row-memory.ts'

/** Rows of one length that are multiplied with vectors, many at a time: in `Float32Array` for speed, or in `Float64Array`. */
export class DenseRows<Numbers extends Float32Array | Float64Array> {
  readonly length: number
  readonly #type: NumbersType<Numbers>
  readonly #memory: RowMemory<Numbers>

  constructor(type: NumbersType<Numbers>, length: number) {
    this.length = length
    this.#type = type
    const bytes = length * type.BYTES_PER_ELEMENT
    this.#memory = new RowMemory(bytes, bytes, type)
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

  /**
   * Σ vector·row for each of these rows, in their order, in `into`, as long as `slots`. A row's is the same whatever others are
   * asked for.
   */
  products(vector: ArrayLike<number>, slots: ArrayLike<number>, into = new this.#type(slots.length)): Numbers {
    this.#at(0).set(vector)
    return this.#multiplied(0, 0, this.length, slots, into)
  }

  /** The same with one of the rows in the place of the vector, over its places from `from` to before `to` alone. */
  productsOf(
    slot: number,
    from: number,
    to: number,
    slots: ArrayLike<number>,
    into = new this.#type(slots.length),
  ): Numbers {
    return this.#multiplied(this.#memory.address(slot), from, to, slots, into)
  }

  #multiplied(address: number, from: number, to: number, slots: ArrayLike<number>, into: Numbers): Numbers {
    const bytes = this.#type.BYTES_PER_ELEMENT
    // A kernel goes through its loops once at least.
    if (from >= to) {
      into.fill(0)
      return into
    }
    const kernel = this.#memory.kernels[bytes === 4 ? 'float32' : 'float64']
    const start = address + from * bytes
    const end = address + to * bytes
    return this.#memory.multiply(slots, (rows, last, sums) => kernel(start, end, rows, last, sums), from * bytes, into)
  }

  #at(address: number): Numbers {
    return new this.#type(this.#memory.buffer, address, this.length)
  }
}
