import { openKernels, REGISTER, ROWS_OF_CALL, ROWS_OF_LIST, type Kernels } from './kernels.ts'

/** Bytes that a memory grows by, at least, and their unit. */
const PAGE = 65_536
const LEAST_GROWTH = 16

/** A call of a kernel: where it finds its rows, `[rows, end)`, and leaves its sums. Addresses are in bytes. */
export type Call = (rows: number, end: number, sums: number) => void

/**
 * What is done after a call with the room for sums, at an address in bytes; it was of the places `[first, first + count)` in
 * the list of slots.
 */
export type Taken<Sums> = (sums: Sums, first: number, count: number, address: number) => void

/** `Float32Array` and the like. */
export type NumbersType<Numbers> = {
  readonly BYTES_PER_ELEMENT: number
  new (length: number): Numbers
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): Numbers
}

/**
 * Rows of one size in the memory of kernels. A row stays at its slot, and slots that were given back are taken first. In
 * front of them stand the vector that they are multiplied with, a list of rows, and their sums.
 */
export class RowMemory<Sums extends Float32Array | Float64Array> {
  readonly kernels: Kernels['functions']
  readonly #memory: Kernels['memory']
  readonly #type: NumbersType<Sums>
  readonly #sumsOfRow: number
  readonly #bytes: number
  readonly #list: number
  readonly #sums: number
  readonly #start: number
  readonly #free: number[] = []
  #slots = 0
  /** Of the list of rows and of their sums; made anew where the memory is another. */
  #views: { readonly list: Uint32Array; readonly sums: Sums } | undefined

  /**
   * Bytes of a row, and of what rows are multiplied with, which stands at address 0. Sums are of `type`, with room for `sums`
   * of them for every row of a call.
   */
  constructor(rowBytes: number, vectorBytes: number, type: NumbersType<Sums>, sums = 1) {
    this.#type = type
    this.#sumsOfRow = sums
    const { memory, functions } = openKernels()
    this.#memory = memory
    this.kernels = functions
    this.#bytes = wholeRegisters(rowBytes)
    this.#list = wholeRegisters(vectorBytes)
    this.#sums = this.#list + 4 * ROWS_OF_CALL
    this.#start = this.#sums + type.BYTES_PER_ELEMENT * sums * ROWS_OF_CALL
    this.#reserve()
  }

  /** All of the memory; another one after {@link take}. */
  get buffer(): ArrayBuffer {
    return this.#memory.buffer
  }

  /** A slot that is free. Its row may hold anything. */
  take(): number {
    const free = this.#free.pop()
    if (free !== undefined) return free
    this.#slots += 1
    this.#reserve()
    return this.#slots - 1
  }

  give(slot: number): void {
    this.#free.push(slot)
  }

  /** Of a slot's first byte. */
  address(slot: number): number {
    return this.#start + slot * this.#bytes
  }

  /**
   * Calls `run` for these rows, some at a time, and gathers the sums that it left in `into`, as long as `slots`. `offset` bytes
   * of every row are left out.
   */
  multiply(slots: ArrayLike<number>, run: Call, offset: number, into: Sums): Sums {
    this.inCalls(slots, run, offset, (sums, first, count) => {
      // Most are few: another view would be left behind.
      for (let at = 0; at < count; at += 1) into[first + at] = sums[at] ?? 0
    })
    return into
  }

  /** Calls `run` for these rows as {@link multiply} does, and `take` after each call. */
  inCalls(slots: ArrayLike<number>, run: Call, offset: number, take: Taken<Sums>): void {
    const { list, sums } = this.#viewed()
    const start = this.#start + offset
    const bytes = this.#bytes
    for (let first = 0; first < slots.length; first += ROWS_OF_CALL) {
      const count = Math.min(ROWS_OF_CALL, slots.length - first)
      const listed = Math.ceil(count / ROWS_OF_LIST) * ROWS_OF_LIST
      for (let at = 0; at < count; at += 1) list[at] = start + (slots[first + at] ?? 0) * bytes
      // The last row fills the list up: what it gives there is not read.
      for (let at = count; at < listed; at += 1) list[at] = list[count - 1] ?? 0
      run(this.#list, this.#list + 4 * listed, this.#sums)
      take(sums, first, count, this.#sums)
    }
  }

  #viewed(): { readonly list: Uint32Array; readonly sums: Sums } {
    const { buffer } = this
    if (this.#views?.list.buffer !== buffer)
      this.#views = {
        list: new Uint32Array(buffer, this.#list, ROWS_OF_CALL),
        sums: new this.#type(buffer, this.#sums, this.#sumsOfRow * ROWS_OF_CALL),
      }
    return this.#views
  }

  #reserve(): void {
    const missing = this.address(this.#slots) - this.buffer.byteLength
    if (missing <= 0) return
    const pages = Math.ceil(missing / PAGE)
    this.#memory.grow(Math.max(pages, LEAST_GROWTH, Math.floor(this.buffer.byteLength / PAGE / 4)))
  }
}

/** As many bytes, or a few more: rows, and what stands behind them, begin where a register's width does. */
export const wholeRegisters = (bytes: number): number => Math.ceil(bytes / REGISTER) * REGISTER
