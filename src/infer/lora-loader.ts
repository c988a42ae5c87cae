import { AdapterError, toErrorData, type ErrorData } from '../errors.ts'
import { readLora, type BaseModules } from '../hf/peft.ts'
import { loraKey, type Digest, type Lora } from '../lora.ts'
import { fuse } from './fuse.ts'
import { isKind, placeOf, type Kind } from './lora-slots.ts'
import type { LoraModules, ResidentLoras, Slots } from './resident-loras.ts'

/** Brings LoRAs into the resident tables. */
export type LoraLoader = {
  /** For each LoRA its slots, or why it cannot be had; each counts for itself. */
  load(stack: readonly Lora[]): Promise<readonly (Slots | ErrorData)[]>
}

/**
 * Weights of adapters that take part in fusions are read again and again: as many bytes of them are kept. An adapter of rank 8 on
 * q and v of the demo's base has 1.8 MB.
 */
const KEPT_BYTES = 32 * 1024 * 1024

/** `modules` are the base's linears: every adapter is checked against them anew when it is read, and against its digest. */
export function loraLoader(resident: ResidentLoras, modules: BaseModules): LoraLoader {
  const kept = new Map<Digest, { readonly modules: LoraModules; readonly bytes: number }>()

  async function adapterModules({ digest, directory }: Lora[number]['adapter'], keep: boolean): Promise<LoraModules> {
    const known = kept.get(digest)
    if (known !== undefined) {
      kept.delete(digest)
      kept.set(digest, known)
      return known.modules
    }
    const read = await readLora({ directory, digest }, modules)
    if (!keep) return read
    const bytes = [...read.values()].reduce((sum, { a, b }) => sum + a.byteLength + b.byteLength, 0)
    kept.set(digest, { modules: read, bytes })
    let total = [...kept.values()].reduce((sum, entry) => sum + entry.bytes, 0)
    for (const [oldest, entry] of kept) {
      if (total <= KEPT_BYTES || oldest === digest) break
      kept.delete(oldest)
      total -= entry.bytes
    }
    return read
  }

  return {
    async load(stack) {
      const keys = stack.map(loraKey)
      const pinned = new Set(keys)
      const loaded: (Slots | ErrorData)[] = []
      resident.shrink(pinned)
      for (const [index, lora] of stack.entries()) {
        const key = keys[index] ?? ''
        try {
          const slots = resident.find(key)
          if (slots !== undefined) loaded.push(slots)
          else {
            const parts = []
            // What is no fusion lies in the tables from now on, as it was read.
            const keep = lora.length > 1
            for (const { adapter, weight } of lora) parts.push({ modules: await adapterModules(adapter, keep), weight })
            const fused = fuse(parts)
            checkBounded(lora, fused)
            loaded.push(resident.add(key, fused, pinned))
          }
        } catch (error) {
          loaded.push(toErrorData(error))
        }
      }
      return loaded
    },
  }
}

/**
 * A product with a hidden state must stay far inside float32: beyond it an answer is made of NaN, and is no answer.
 * Trained weights are below 100.
 */
const MAX_WEIGHT = 1e18

/** Throws AdapterError for a LoRA that float32 cannot compute with, such as a fusion with an absurd weight. */
function checkBounded(lora: Lora, modules: LoraModules): void {
  for (const [name, { a, b, scale }] of modules) {
    const largest = Math.max(largestOf(a), largestOf(b) * scale)
    if (largest <= MAX_WEIGHT) continue
    const who = lora.map(({ adapter, weight }) => `${adapter.id} (weight ${weight})`).join(' + ')
    throw new AdapterError(`${who}: ${name} has a value of ${largest}, expected at most ${MAX_WEIGHT}`)
  }
}

/** The largest magnitude; NaN when any value is. */
function largestOf(values: Float32Array): number {
  let largest = 0
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i] ?? 0)
    if (!(magnitude <= largest)) largest = magnitude
    if (largest !== largest) break
  }
  return largest
}

/** Sizes of a base's linears by kind: the same in every layer. */
export function kindSizes(modules: BaseModules): ReadonlyMap<Kind, { readonly in: number; readonly out: number }> {
  const sizes = new Map<Kind, { readonly in: number; readonly out: number }>()
  for (const [module, size] of modules) {
    const { kind } = placeOf(module)
    if (isKind(kind)) sizes.set(kind, size)
  }
  return sizes
}
