/** Instructions, as bytes. Names of instructions here are those of the WebAssembly specification. */
export type Code = readonly number[]

export type ValueType = keyof typeof valueTypes

/** Local variables by name; parameters come first, in order. Nothing is returned: results are left in the memory. */
export type WasmFunction = {
  readonly parameters: Readonly<Record<string, ValueType>>
  readonly variables: Readonly<Record<string, ValueType>>
  readonly body: (local: (name: string) => number) => readonly Code[]
}

const valueTypes = { i32: 0x7f, v128: 0x7b } as const

const simd = (code: number): Code => [0xfd, ...unsigned(code)]

/** An instruction that takes its operands from the stack. */
const instruction =
  (code: Code) =>
  (...operands: readonly Code[]): Code => [...operands.flat(), ...code]

/** One that reads `offset` bytes behind its first operand, or writes there its second. No alignment is promised. */
const access =
  (code: Code, lane: Code = []) =>
  (offset: number, ...operands: readonly Code[]): Code => [...operands.flat(), ...code, 0, ...unsigned(offset), ...lane]

export const get = (local: number): Code => [0x20, ...unsigned(local)]
export const set = (local: number, value: Code): Code => [...value, 0x21, ...unsigned(local)]
export const constant = (value: number): Code => [0x41, ...signed(value)]

export const i32 = { add: instruction([0x6a]), load: access([0x28]), load16: access([0x2f]) }
export const f32 = {
  add: instruction([0x92]),
  multiply: instruction([0x94]),
  load: access([0x2a]),
  store: access([0x38]),
}
export const f64 = { add: instruction([0xa0]), store: access([0x39]) }
export const v128 = {
  zero: [...simd(0x0c), ...Array.from({ length: 16 }, () => 0)],
  load: access(simd(0x00)),
  load32Splat: access(simd(0x09)),
  store: access(simd(0x0b)),
  /** Replaces one byte of the second operand. */
  load8Lane: (lane: number, ...operands: readonly Code[]): Code => access(simd(0x54), [lane])(0, ...operands),
}
export const f32x4 = {
  add: instruction(simd(0xe4)),
  multiply: instruction(simd(0xe6)),
  pmax: instruction(simd(0xeb)),
  fromI32x4: instruction(simd(0xfa)),
  lane: (lane: number, vector: Code): Code => [...vector, ...simd(0x1f), lane],
}
export const i32x4 = { add: instruction(simd(0xae)), dotI16x8: instruction(simd(0xba)) }
export const f64x2 = {
  add: instruction(simd(0xf0)),
  multiply: instruction(simd(0xf2)),
  lane: (lane: number, vector: Code): Code => [...vector, ...simd(0x21), lane],
}
/** The lower or upper half of a vector's whole numbers, each in twice its width. */
export const widened = {
  from8: instruction(simd(0x87)),
  from16: instruction(simd(0xa7)),
  upperFrom16: instruction(simd(0xa8)),
}

/** Runs `body` for `local`, as it is, and `step` more until it is no longer below `end`: once at least. */
export function upTo(local: number, end: number, step: number, body: readonly Code[]): Code {
  const next = set(local, i32.add(get(local), constant(step)))
  // loop; … br_if 0 (local < end, unsigned); end
  return [0x03, 0x40, ...body.flat(), ...next, ...get(local), ...get(end), 0x49, 0x0d, 0, 0x0b]
}

/** What a module's functions work on, and the functions by name. */
export type Instance<Name extends string> = {
  readonly memory: WasmMemory
  readonly functions: Readonly<Record<Name, (...parameters: readonly number[]) => void>>
}

export type WasmMemory = {
  /** Another one, and the old one empty, after every `grow`. */
  readonly buffer: ArrayBuffer
  /** By so many pages of 64 KiB. Throws RangeError where there is no room. */
  grow(pages: number): void
}

/** What is used of it: Node has it, but its types only come with those of a browser. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Memory: new (size: { readonly initial: number }) => WasmMemory
  readonly Instance: new (
    module: object,
    imports: Readonly<Record<string, Readonly<Record<string, WasmMemory>>>>,
  ) => { readonly exports: unknown }
}

/** Compiles functions; each call of the result gives an instance with a memory of its own, a page of zeros. */
export function compiled<Name extends string>(functions: Readonly<Record<Name, WasmFunction>>): () => Instance<Name> {
  const module = new WebAssembly.Module(moduleBytes(functions))
  return () => {
    const memory = new WebAssembly.Memory({ initial: 1 })
    const { exports } = new WebAssembly.Instance(module, { env: { memory } })
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the module exports what it was made of
    return { memory, functions: exports as Instance<Name>['functions'] }
  }
}

/** The sections of a module, by their numbers: types, imports, functions, exports, code. */
function moduleBytes(functions: Readonly<Record<string, WasmFunction>>): Uint8Array {
  const entries = Object.entries(functions)
  const types = entries.map(([, { parameters }]) => [0x60, ...counted(Object.values(parameters).map(typeOf)), 0])
  const code = entries.map(([, { parameters, variables, body }]) => {
    const names = [...Object.keys(parameters), ...Object.keys(variables)]
    const declared = Object.values(variables).map(type => [1, ...typeOf(type)])
    return sized([...counted(declared), ...body(name => names.indexOf(name)).flat(), 0x0b])
  })
  return Uint8Array.from([
    ...MAGIC,
    ...section(1, types),
    ...section(2, [[...text('env'), ...text('memory'), 0x02, 0, 1]]),
    ...section(
      3,
      entries.map((_, at) => unsigned(at)),
    ),
    ...section(
      7,
      entries.map(([name], at) => [...text(name), 0, ...unsigned(at)]),
    ),
    ...section(10, code),
  ])
}

/** What a module begins with: its kind, and version 1. */
const MAGIC: Code = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]

const typeOf = (name: ValueType): Code => [valueTypes[name]]
const section = (id: number, items: readonly Code[]): Code => [id, ...sized(counted(items))]
const text = (name: string): Code => sized([...Buffer.from(name)])
const sized = (bytes: Code): Code => [...unsigned(bytes.length), ...bytes]
const counted = (items: readonly Code[]): Code => [...unsigned(items.length), ...items.flat()]

/** LEB128. */
function unsigned(value: number): Code {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)]
}

function signed(value: number): Code {
  return value >= -0x40 && value < 0x40 ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)]
}
