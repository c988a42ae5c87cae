import type { LoraWeights } from '../hf/peft.ts'
import { placeOf, type Kind } from './lora-slots.ts'

/** Sizes of a base's linears of one kind. */
export type KindSize = { readonly in: number; readonly out: number }

/** A slot of zeros in every table: what rows with fewer slots than others are filled up with. */
export const EMPTY_SLOT = 0

/** The slots that a LoRA holds, by kind. */
export type Slots = ReadonlyMap<Kind, readonly number[]>

/** The tables of one kind, as lora-slots.ts describes them: `a` `[layers·capacity, in]`, `b` `[layers·capacity, out]`. */
export type Table = { readonly a: Float32Array; readonly b: Float32Array; readonly capacity: number }

/** A LoRA's weights by module; a module's scale is in neither matrix yet. */
export type LoraModules = ReadonlyMap<string, LoraWeights>

/**
 * LoRAs that stay in the graph's slot tables between windows, so that a window costs what it changes. The least recently
 * used give way when `budget` bytes are reached; what one window needs always fits.
 */
export type ResidentLoras = {
  /** Bytes of all tables. */
  readonly bytes: number
  table(kind: Kind): Table
  /**
   * Brings the tables back within the budget after a window that needed more, or to what the `pinned` keys of the next one
   * take. LoRAs move then: slots that were found or added before are void.
   */
  shrink(pinned: ReadonlySet<string>): void
  /** A resident LoRA's slots, and marks it as used. */
  find(key: string): Slots | undefined
  /** Writes a LoRA into slots of its own. `pinned` keys give no place. Tables grow beyond the budget by what is lacking alone. */
  add(key: string, modules: LoraModules, pinned: ReadonlySet<string>): Slots
}

export function residentLoras(layers: number, sizes: ReadonlyMap<Kind, KindSize>, budget: number): ResidentLoras {
  const tables = new Map([...sizes].map(([kind, size]) => [kind, new KindTable(layers, size)]))
  /** In order of use, the latest last. */
  const resident = new Map<string, Slots>()

  const tableOf = (kind: Kind): KindTable => {
    const table = tables.get(kind)
    if (table === undefined) throw new Error(`no table for ${kind}`)
    return table
  }
  const bytes = (): number => [...tables.values()].reduce((sum, table) => sum + table.bytes, 0)
  const evict = (key: string, slots: Slots): void => {
    for (const [kind, own] of slots) tableOf(kind).release(own)
    resident.delete(key)
  }

  return {
    get bytes() {
      return bytes()
    },
    table: tableOf,
    shrink(pinned) {
      if (bytes() <= budget) return
      const kept = (): number => [...tables.values()].reduce((sum, table) => sum + table.usedBytes, 0)
      for (const [key, slots] of resident) {
        if (kept() <= budget) break
        if (!pinned.has(key)) evict(key, slots)
      }
      const moves = new Map([...tables].map(([kind, table]) => [kind, table.compact()]))
      for (const [key, slots] of resident) {
        const moved = [...slots].map(
          ([kind, own]) => [kind, own.map(slot => moves.get(kind)?.get(slot) ?? slot)] as const,
        )
        resident.set(key, new Map(moved))
      }
    },
    find(key) {
      const slots = resident.get(key)
      if (slots !== undefined) {
        resident.delete(key)
        resident.set(key, slots)
      }
      return slots
    },
    add(key, modules, pinned) {
      const ranks = ranksOf(modules)
      const lacks = () => [...ranks].filter(([kind, rank]) => tableOf(kind).free < rank)
      const growth = () => lacks().reduce((sum, [kind, rank]) => sum + tableOf(kind).growth(rank), 0)
      for (const [other, slots] of resident) {
        if (lacks().length === 0 || bytes() + growth() <= budget) break
        if (!pinned.has(other)) evict(other, slots)
      }
      const amply = bytes() + growth() <= budget
      for (const [kind, rank] of lacks()) tableOf(kind).grow(rank, amply)
      const slots = new Map([...ranks].map(([kind, rank]) => [kind, tableOf(kind).take(rank)]))
      for (const [module, weights] of modules) {
        const { layer, kind } = kindOf(module)
        tableOf(kind).write(layer, slots.get(kind) ?? [], weights)
      }
      resident.set(key, slots)
      return slots
    },
  }
}

/** The largest rank of each kind among a LoRA's modules: its slots are the same in every layer. */
function ranksOf(modules: LoraModules): ReadonlyMap<Kind, number> {
  const ranks = new Map<Kind, number>()
  for (const [module, { rank }] of modules) {
    const { kind } = kindOf(module)
    ranks.set(kind, Math.max(rank, ranks.get(kind) ?? 0))
  }
  return ranks
}

function kindOf(module: string): { readonly layer: number; readonly kind: Kind } {
  const { layer, kind } = placeOf(module)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the base's modules, which an adapter's are checked against, are all of a kind
  return { layer, kind: kind as Kind }
}

class KindTable {
  readonly #layers: number
  readonly #size: KindSize
  #a: Float32Array
  #b: Float32Array
  #free: number[] = []
  /** EMPTY_SLOT is there from the start, and never free. */
  #capacity = 1

  constructor(layers: number, size: KindSize) {
    this.#layers = layers
    this.#size = size
    this.#a = new Float32Array(layers * size.in)
    this.#b = new Float32Array(layers * size.out)
  }

  get a(): Float32Array {
    return this.#a
  }

  get b(): Float32Array {
    return this.#b
  }

  get capacity(): number {
    return this.#capacity
  }

  get free(): number {
    return this.#free.length
  }

  get bytes(): number {
    return this.#a.byteLength + this.#b.byteLength
  }

  /** Bytes of the slots that are taken, and of the empty one. */
  get usedBytes(): number {
    return (this.#capacity - this.#free.length) * this.#slotBytes
  }

  /** Bytes that {@link grow} would add, amply. */
  growth(slots: number): number {
    return this.#missing(slots, true) * this.#slotBytes
  }

  /** Adds slots until `slots` are free; `amply` half as many again, so that growing stays rare. */
  grow(slots: number, amply: boolean): void {
    const before = this.#capacity
    const kept = Array.from({ length: before }, (_, slot) => slot)
    this.#remake(before + this.#missing(slots, amply), kept)
    for (let slot = this.#capacity - 1; slot >= before; slot--) this.#free.push(slot)
  }

  /** Gives all free slots up. Answers with the new place of each slot that is taken. */
  compact(): ReadonlyMap<number, number> {
    const free = new Set(this.#free)
    const kept = Array.from({ length: this.#capacity }, (_, slot) => slot).filter(slot => !free.has(slot))
    this.#remake(kept.length, kept)
    this.#free = []
    return new Map(kept.map((slot, place) => [slot, place]))
  }

  take(count: number): number[] {
    return this.#free.splice(this.#free.length - count, count)
  }

  /** Slots go back empty: whoever takes them next writes only the layers that it has. */
  release(slots: readonly number[]): void {
    for (let layer = 0; layer < this.#layers; layer++) {
      for (const slot of slots) {
        const row = layer * this.#capacity + slot
        this.#a.fill(0, row * this.#size.in, (row + 1) * this.#size.in)
        this.#b.fill(0, row * this.#size.out, (row + 1) * this.#size.out)
      }
    }
    this.#free.push(...slots)
  }

  /** `a` `[rank, in]` as it is, `b` `[out, rank]` transposed and times α/r. */
  write(layer: number, slots: readonly number[], { a, b, rank, scale }: LoraWeights): void {
    const { in: inner, out } = this.#size
    for (let r = 0; r < rank; r++) {
      const row = layer * this.#capacity + (slots[r] ?? EMPTY_SLOT)
      this.#a.set(a.subarray(r * inner, (r + 1) * inner), row * inner)
      for (let o = 0; o < out; o++) this.#b[row * out + o] = (b[o * rank + r] ?? 0) * scale
    }
  }

  get #slotBytes(): number {
    return this.#layers * (this.#size.in + this.#size.out) * Float32Array.BYTES_PER_ELEMENT
  }

  #missing(slots: number, amply: boolean): number {
    const lacking = slots - this.#free.length
    if (lacking <= 0) return 0
    return amply ? Math.max(lacking, Math.ceil(this.#capacity / 2)) : lacking
  }

  /** New arrays of `capacity` slots, of which the first are the `kept` ones. */
  #remake(capacity: number, kept: readonly number[]): void {
    const copy = (from: Float32Array, width: number): Float32Array => {
      const to = new Float32Array(this.#layers * capacity * width)
      for (let layer = 0; layer < this.#layers; layer++) {
        kept.forEach((slot, place) => {
          const row = (layer * this.#capacity + slot) * width
          to.set(from.subarray(row, row + width), (layer * capacity + place) * width)
        })
      }
      return to
    }
    this.#a = copy(this.#a, this.#size.in)
    this.#b = copy(this.#b, this.#size.out)
    this.#capacity = capacity
  }
}
