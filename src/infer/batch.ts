import type { Composed } from '../events.ts'
import { loraKey, type Lora, type Mix, type Part, type Share } from '../lora.ts'
import type { Batch } from '../ports.ts'
import { toRow } from '../row.ts'

/**
 * A window as the engine takes it: a row for every item, a stack of the distinct LoRAs, and for every row which of them it
 * mixes. Equal sets of parts are one LoRA, whatever their order; a row's shares of one LoRA are added up; what weighs
 * nothing is left out. Stack and mappings are in the order of the LoRAs' digests, so that a row's sum does not depend
 * on its neighbours, and equal windows have equal stacks.
 */
export function toBatch(items: readonly Composed[]): Batch {
  const mixes = items.map(({ mix }) => sharesOf(mix))
  const loras = [...new Map(mixes.flatMap(shares => [...shares].map(([key, { lora }]) => [key, lora] as const)))]
  const stack = loras.toSorted(([one], [other]) => (one < other ? -1 : 1))
  return {
    rows: items.map(toRow),
    stack: stack.map(([, lora]) => lora),
    mapping: mixes.map(shares =>
      stack.flatMap(([key], lora) => {
        const weight = shares.get(key)?.weight
        return weight === undefined ? [] : [{ lora, weight }]
      }),
    ),
  }
}

/** Distinct adapters in a batch, by their digests. */
export function distinctAdapters({ stack }: Batch): number {
  return new Set(stack.flat().map(({ adapter }) => adapter.digest)).size
}

/** A row's shares, one for every LoRA that weighs something, by the LoRA's key. */
function sharesOf(mix: Mix): ReadonlyMap<string, Share> {
  const shares = new Map<string, Share>()
  for (const share of mix) {
    const lora = canonical(share.lora)
    const key = loraKey(lora)
    if (lora.length > 0) shares.set(key, { lora, weight: share.weight + (shares.get(key)?.weight ?? 0) })
  }
  for (const [key, { weight }] of shares) if (weight === 0) shares.delete(key)
  return shares
}

/** Parts in the order of their digests; an adapter that stands twice stands once with the sum, for both factors are linear. */
function canonical(lora: Lora): Lora {
  const parts = new Map<string, Part>()
  for (const { adapter, weight } of lora)
    parts.set(adapter.digest, { adapter, weight: weight + (parts.get(adapter.digest)?.weight ?? 0) })
  return [...parts.values()]
    .filter(({ weight }) => weight !== 0)
    .toSorted((one, other) => (one.adapter.digest < other.adapter.digest ? -1 : 1))
}
