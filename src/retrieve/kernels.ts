import {
  compiled,
  constant,
  f32,
  f32x4,
  f64,
  f64x2,
  get,
  i32,
  i32x4,
  set,
  upTo,
  v128,
  widened,
  type Code,
  type Instance,
  type WasmFunction,
} from './wasm.ts'

/** Lists of rows are a multiple of it. */
export const ROWS_OF_LIST = 8

/** Bytes of a vector register: rows are a multiple of it. */
export const REGISTER = 16

/** Rows that a kernel is given, at most. */
export const ROWS_OF_CALL = 1024

/** Vectors that {@link openKernels}' `int16s` multiplies every row with. */
export const VECTORS_AT_A_TIME = 4

/** Sums of which `largest` finds the largest: they stand four apart, so that four blocks share their registers. */
export const SUMS_OF_BLOCK = 8

export type Kernels = Instance<'int16' | 'int16s' | 'float32' | 'float64' | 'sparse' | 'largest'>

const each = <Value>(count: number, make: (at: number) => Value): readonly Value[] =>
  Array.from({ length: count }, (_, at) => make(at))

const variables = (name: string, type: 'i32' | 'v128', count: number) =>
  Object.fromEntries(each(count, at => [name + at, type]))

type DenseOptions = {
  readonly add: (...operands: readonly Code[]) => Code
  readonly multiply: (...operands: readonly Code[]) => Code
  /** Given the address behind what was multiplied of the row, too. */
  readonly store: (offset: number, sums: Code, sum: Code, behind: Code) => Code
  /** Of a sum, in bytes. */
  readonly bytes: number
  /** Rows times vectors are as many sums that do not wait for each other, and find room in sixteen registers. */
  readonly rows: number
  readonly vectors: number
}

/**
 * Inner products of vectors, `[from, to)` in bytes, with the rows whose addresses `[rows, end)` holds, written to `sums` by
 * `store`: those of the next vector {@link ROWS_OF_CALL} further. Vectors take turns by the register. Every row is summed in
 * the same order, so equal rows have equal products wherever they are.
 */
function dense({ add, multiply, store, bytes, rows: count, vectors }: DenseOptions): WasmFunction {
  return {
    parameters: { from: 'i32', to: 'i32', rows: 'i32', end: 'i32', sums: 'i32' },
    variables: {
      at: 'i32',
      cells: 'v128',
      ...variables('values', 'v128', vectors),
      ...variables('row', 'i32', count),
      ...variables('sum', 'v128', count * vectors),
    },
    body(local) {
      const [at, rows, sums, cells] = [local('at'), local('rows'), local('sums'), local('cells')]
      const step = (row: number): Code => {
        const address = local(`row${row}`)
        const added = each(vectors, vector => {
          const sum = local(`sum${vector * count + row}`)
          return set(sum, add(get(sum), multiply(get(cells), get(local(`values${vector}`)))))
        })
        const next = set(address, i32.add(get(address), constant(REGISTER)))
        return [...set(cells, v128.load(0, get(address))), ...added.flat(), ...next]
      }
      const stored = each(count * vectors, sum => {
        const row = sum % count
        const offset = bytes * (row + ROWS_OF_CALL * Math.floor(sum / count))
        return store(offset, get(sums), get(local(`sum${sum}`)), get(local(`row${row}`)))
      })
      return [
        upTo(rows, local('end'), 4 * count, [
          ...each(count, row => set(local(`row${row}`), i32.load(4 * row, get(rows)))),
          ...each(count * vectors, sum => set(local(`sum${sum}`), v128.zero)),
          set(at, get(local('from'))),
          upTo(at, local('to'), REGISTER * vectors, [
            ...each(vectors, vector => set(local(`values${vector}`), v128.load(REGISTER * vector, get(at)))),
            ...each(count, step),
          ]),
          ...stored,
          set(sums, i32.add(get(sums), constant(bytes * count))),
        ]),
      ]
    },
  }
}

/** Rows that the sparse kernel takes at a time: bytes that fill half a register, and two of products. */
const SPARSE_ROWS_AT_A_TIME = 8

/**
 * The same with rows of 8-bit numbers and a sparse vector: places, 16 bits each, in `[from, to)`, and the float32 values at
 * these from `numbers` on. The places that a text has are rarely neighbours, so bytes are gathered, of eight rows at a time.
 */
const sparse: WasmFunction = {
  parameters: { from: 'i32', to: 'i32', numbers: 'i32', rows: 'i32', end: 'i32', sums: 'i32' },
  variables: {
    at: 'i32',
    number: 'i32',
    place: 'i32',
    values: 'v128',
    factor: 'v128',
    ...variables('sum', 'v128', 2),
    ...variables('row', 'i32', SPARSE_ROWS_AT_A_TIME),
  },
  body(local) {
    const [at, number, rows, sums] = [local('at'), local('number'), local('rows'), local('sums')]
    const [place, values, factor] = [local('place'), local('values'), local('factor')]
    const gather = (row: number): Code =>
      set(values, v128.load8Lane(row, i32.add(get(local(`row${row}`)), get(place)), get(values)))
    const wide = [widened.from16(get(values)), widened.upperFrom16(get(values))]
    return [
      upTo(rows, local('end'), 4 * SPARSE_ROWS_AT_A_TIME, [
        ...each(SPARSE_ROWS_AT_A_TIME, row => set(local(`row${row}`), i32.load(4 * row, get(rows)))),
        ...each(2, half => set(local(`sum${half}`), v128.zero)),
        set(at, get(local('from'))),
        set(number, get(local('numbers'))),
        upTo(at, local('to'), 2, [
          set(place, i32.load16(0, get(at))),
          set(values, v128.zero),
          ...each(SPARSE_ROWS_AT_A_TIME, gather),
          set(values, widened.from8(get(values))),
          set(factor, v128.load32Splat(0, get(number))),
          ...wide.map((four, half) => {
            const sum = local(`sum${half}`)
            return set(sum, f32x4.add(get(sum), f32x4.multiply(f32x4.fromI32x4(four), get(factor))))
          }),
          set(number, i32.add(get(number), constant(4))),
        ]),
        ...each(2, half => v128.store(16 * half, get(sums), get(local(`sum${half}`)))),
        set(sums, i32.add(get(sums), constant(4 * SPARSE_ROWS_AT_A_TIME))),
      ]),
    ]
  },
}

/** The largest of every block of float32 numbers, `[from, to)` in bytes: those of a register stand at the same place of `into`. */
const largest: WasmFunction = {
  parameters: { from: 'i32', to: 'i32', into: 'i32' },
  variables: {},
  body(local) {
    const [from, into] = [local('from'), local('into')]
    const registers = each(SUMS_OF_BLOCK, at => v128.load(REGISTER * at, get(from)))
    return [
      upTo(from, local('to'), REGISTER * SUMS_OF_BLOCK, [
        v128.store(
          0,
          get(into),
          registers.reduce((most, register) => f32x4.pmax(most, register)),
        ),
        set(into, i32.add(get(into), constant(REGISTER))),
      ]),
    ]
  },
}

const total = (sum: Code): Code =>
  f32.add(...[0, 2].map(lane => f32.add(f32x4.lane(lane, sum), f32x4.lane(lane + 1, sum))))

/**
 * Of whole numbers, small enough for four sums of 32 bits, one after the other taking two places. Behind each row stands a
 * float32 that its sum is multiplied with; results are float32.
 */
const int16: Omit<DenseOptions, 'rows' | 'vectors'> = {
  add: i32x4.add,
  multiply: i32x4.dotI16x8,
  store: (offset, sums, sum, behind) =>
    f32.store(offset, sums, f32.multiply(total(f32x4.fromI32x4(sum)), f32.load(0, behind))),
  bytes: 4,
}

/** The loops that take nearly all the time of a search and of a fit, four to eight times as fast as JavaScript has them. */
export const openKernels: () => Kernels = compiled({
  int16: dense({ ...int16, rows: 4, vectors: 1 }),
  int16s: dense({ ...int16, rows: 2, vectors: VECTORS_AT_A_TIME }),
  float32: dense({
    add: f32x4.add,
    multiply: f32x4.multiply,
    store: (offset, sums, sum) => f32.store(offset, sums, total(sum)),
    bytes: 4,
    rows: 4,
    vectors: 1,
  }),
  float64: dense({
    add: f64x2.add,
    multiply: f64x2.multiply,
    store: (offset, sums, sum) => f64.store(offset, sums, f64.add(f64x2.lane(0, sum), f64x2.lane(1, sum))),
    bytes: 8,
    rows: 4,
    vectors: 1,
  }),
  sparse,
  largest,
})
