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

/** Rows that a dense kernel takes at a time: as many sums that do not wait for each other. */
const ROWS_AT_A_TIME = 4

/** Bytes of a vector register: rows are a multiple of it. */
export const REGISTER = 16

export type Kernels = Instance<'int16' | 'float32' | 'float64' | 'sparse'>

const each = <Value>(make: (row: number) => Value, rows = ROWS_AT_A_TIME): readonly Value[] =>
  Array.from({ length: rows }, (_, row) => make(row))

const variables = (name: string, type: 'i32' | 'v128', rows = ROWS_AT_A_TIME) =>
  Object.fromEntries(each(row => [name + row, type], rows))

/**
 * Inner products of one vector, `[from, to)` in bytes, with the rows whose addresses `[rows, end)` holds, written to `sums` by
 * `store`, which is given the address behind what was multiplied of the row, too. Every row is summed in the same order, so
 * equal rows have equal products wherever they are.
 */
function dense(
  add: (...operands: readonly Code[]) => Code,
  multiply: (...operands: readonly Code[]) => Code,
  store: (row: number, sums: Code, sum: Code, behind: Code) => Code,
  bytes: number,
): WasmFunction {
  return {
    parameters: { from: 'i32', to: 'i32', rows: 'i32', end: 'i32', sums: 'i32' },
    variables: { at: 'i32', values: 'v128', ...variables('row', 'i32'), ...variables('sum', 'v128') },
    body(local) {
      const [at, rows, sums] = [local('at'), local('rows'), local('sums')]
      const step = (row: number): Code => {
        const [address, sum] = [local(`row${row}`), local(`sum${row}`)]
        const product = multiply(v128.load(0, get(address)), get(local('values')))
        return [...set(sum, add(get(sum), product)), ...set(address, i32.add(get(address), constant(REGISTER)))]
      }
      return [
        upTo(rows, local('end'), 4 * ROWS_AT_A_TIME, [
          ...each(row => set(local(`row${row}`), i32.load(4 * row, get(rows)))),
          ...each(row => set(local(`sum${row}`), v128.zero)),
          set(at, get(local('from'))),
          upTo(at, local('to'), REGISTER, [set(local('values'), v128.load(0, get(at))), ...each(step)]),
          ...each(row => store(row, get(sums), get(local(`sum${row}`)), get(local(`row${row}`)))),
          set(sums, i32.add(get(sums), constant(bytes * ROWS_AT_A_TIME))),
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
        ...each(row => set(local(`row${row}`), i32.load(4 * row, get(rows))), SPARSE_ROWS_AT_A_TIME),
        ...each(half => set(local(`sum${half}`), v128.zero), 2),
        set(at, get(local('from'))),
        set(number, get(local('numbers'))),
        upTo(at, local('to'), 2, [
          set(place, i32.load16(0, get(at))),
          set(values, v128.zero),
          ...each(gather, SPARSE_ROWS_AT_A_TIME),
          set(values, widened.from8(get(values))),
          set(factor, v128.load32Splat(0, get(number))),
          ...wide.map((four, half) => {
            const sum = local(`sum${half}`)
            return set(sum, f32x4.add(get(sum), f32x4.multiply(f32x4.fromI32x4(four), get(factor))))
          }),
          set(number, i32.add(get(number), constant(4))),
        ]),
        ...each(half => v128.store(16 * half, get(sums), get(local(`sum${half}`))), 2),
        set(sums, i32.add(get(sums), constant(4 * SPARSE_ROWS_AT_A_TIME))),
      ]),
    ]
  },
}

const total = (sum: Code): Code =>
  f32.add(...[0, 2].map(lane => f32.add(f32x4.lane(lane, sum), f32x4.lane(lane + 1, sum))))

/** The loops that take nearly all the time of a search and of a fit, four to eight times as fast as JavaScript has them. */
export const openKernels: () => Kernels = compiled({
  /**
   * Of whole numbers, small enough for four sums of 32 bits, one after the other taking two places. Behind each row stands a
   * float32 that its sum is multiplied with; results are float32.
   */
  int16: dense(
    i32x4.add,
    i32x4.dotI16x8,
    (row, sums, sum, behind) =>
      f32.store(4 * row, sums, f32.multiply(total(f32x4.fromI32x4(sum)), f32.load(0, behind))),
    4,
  ),
  float32: dense(f32x4.add, f32x4.multiply, (row, sums, sum) => f32.store(4 * row, sums, total(sum)), 4),
  float64: dense(
    f64x2.add,
    f64x2.multiply,
    (row, sums, sum) => f64.store(8 * row, sums, f64.add(f64x2.lane(0, sum), f64x2.lane(1, sum))),
    8,
  ),
  sparse,
})
