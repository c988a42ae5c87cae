import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { Kind } from '../../src/infer/lora-slots.ts'
import {
  EMPTY_SLOT,
  residentLoras,
  type LoraModules,
  type ResidentLoras,
  type Slots,
} from '../../src/infer/resident-loras.ts'

const LAYERS = 3
const sizes = new Map<Kind, { readonly in: number; readonly out: number }>([
  ['q_proj', { in: 2, out: 3 }],
  ['down_proj', { in: 4, out: 1 }],
])

const nameOf = (layer: number, kind: Kind): string =>
  `model.layers.${layer}.${kind === 'q_proj' ? 'self_attn' : 'mlp'}.${kind}`

/** Ranks by layer and kind; absent or 0 is no LoRA there. */
type Ranks = readonly { readonly [K in Kind]?: number }[]

/** A LoRA with these ranks, all of its values odd numbers of its own: none is 0, and halving them is exact. */
function loraOf(ranks: Ranks, salt: number): LoraModules {
  let value = 1000 * salt
  const values = (length: number): Float32Array => Float32Array.from({ length }, () => (value += 2) + 1)
  const modules = new Map<string, { a: Float32Array; b: Float32Array; rank: number; scale: number }>()
  ranks.forEach((byKind, layer) => {
    for (const [kind, size] of sizes) {
      const rank = byKind[kind] ?? 0
      if (rank > 0)
        modules.set(nameOf(layer, kind), { rank, scale: 0.5, a: values(rank * size.in), b: values(size.out * rank) })
    }
  })
  return modules
}

/** Slots a kind needs, by the definition: the largest rank in any layer. */
const widest = (ranks: Ranks, kind: Kind): number => Math.max(0, ...ranks.map(byKind => byKind[kind] ?? 0))

/** What one slot of a kind takes in all layers, A and B together. */
const slotBytes = (kind: Kind): number => {
  const { in: inner, out } = sizes.get(kind) ?? { in: 0, out: 0 }
  return 4 * LAYERS * (inner + out)
}

/** One slot's row of A and of B in a layer. */
function rowsOf(resident: ResidentLoras, kind: Kind, layer: number, slot: number): { a: number[]; b: number[] } {
  const { a, b, capacity } = resident.table(kind)
  const { in: inner, out } = sizes.get(kind) ?? { in: 0, out: 0 }
  assert.equal(a.length, LAYERS * capacity * inner)
  assert.equal(b.length, LAYERS * capacity * out)
  const row = layer * capacity + slot
  return { a: [...a.subarray(row * inner, (row + 1) * inner)], b: [...b.subarray(row * out, (row + 1) * out)] }
}

const zeros = (count: number): number[] => Array<number>(count).fill(0)

/** That a LoRA's slots hold its weights and nothing else, in every layer. */
function assertHeld(resident: ResidentLoras, slots: Slots, modules: LoraModules): void {
  for (const [kind, own] of slots) {
    const { in: inner, out } = sizes.get(kind) ?? { in: 0, out: 0 }
    for (let layer = 0; layer < LAYERS; layer++) {
      const weights = modules.get(nameOf(layer, kind))
      own.forEach((slot, r) => {
        const held = rowsOf(resident, kind, layer, slot)
        const present = weights !== undefined && r < weights.rank
        assert.deepEqual(held, {
          a: present ? [...weights.a.subarray(r * inner, (r + 1) * inner)] : zeros(inner),
          b: present ? zeros(out).map((_, o) => (weights.b[o * weights.rank + r] ?? NaN) * weights.scale) : zeros(out),
        })
      })
    }
  }
}

/** Bytes of a LoRA's slots, by the definition. */
const needOf = (lora: number): number =>
  [...sizes.keys()].reduce((sum, kind) => sum + widest(kinds[lora] ?? [], kind) * slotBytes(kind), 0)

/** Brings the LoRAs of these windows in, one window after the other, and checks everything after each LoRA. */
function follow(budget: number, windows: readonly (readonly number[])[]): void {
  const resident = residentLoras(LAYERS, sizes, budget)
  const empty = resident.bytes
  const held = new Map<number, Slots>()
  let evicted = 0
  /** Asks in the order of use, for asking marks as used. */
  const forget = (keep: (lora: number) => boolean): void => {
    for (const lora of held.keys()) {
      const slots = resident.find(`${lora}`)
      if (slots !== undefined) held.set(lora, slots)
      else {
        assert.ok(!keep(lora), `${lora} gave way though it was pinned`)
        held.delete(lora)
        evicted += 1
      }
    }
  }
  for (const window of windows) {
    const pinned = new Set(window.map(String))
    resident.shrink(pinned)
    forget(lora => window.includes(lora))
    const kept = [...held.keys()].reduce((sum, lora) => sum + needOf(lora), empty)
    const stays = window.filter(lora => held.has(lora)).reduce((sum, lora) => sum + needOf(lora), empty)
    assert.ok(resident.bytes <= Math.max(budget, stays), `${resident.bytes} bytes of ${budget} between windows`)
    assert.ok(resident.bytes >= kept)
    const atStart = resident.bytes
    for (const lora of window) {
      const ranks = kinds[lora] ?? []
      const found = resident.find(`${lora}`)
      if (held.has(lora)) assert.deepEqual(found, held.get(lora))
      const slots = found ?? resident.add(`${lora}`, loraOf(ranks, lora), pinned)
      for (const kind of sizes.keys()) assert.equal((slots.get(kind) ?? []).length, widest(ranks, kind))
      forget(other => window.includes(other))
      held.delete(lora)
      held.set(lora, slots)
      resident.find(`${lora}`)
      assertTables(resident, held)
    }
    const needed = window.reduce((sum, lora) => sum + needOf(lora), 0)
    assert.ok(
      resident.bytes <= Math.max(budget, atStart + needed),
      `${resident.bytes} bytes of ${budget}, for a window of ${needed} that began with ${atStart}`,
    )
  }
  evictions += evicted
}

/** That each LoRA has slots of its own with its weights, and all other slots are zeros. */
function assertTables(resident: ResidentLoras, held: ReadonlyMap<number, Slots>): void {
  const used = new Map<Kind, Set<number>>([...sizes.keys()].map(kind => [kind, new Set([EMPTY_SLOT])]))
  for (const [lora, own] of held) {
    for (const [kind, list] of own)
      for (const slot of list) {
        assert.ok(!used.get(kind)?.has(slot), `slot ${slot} of ${kind} is shared`)
        used.get(kind)?.add(slot)
      }
    assertHeld(resident, own, loraOf(kinds[lora] ?? [], lora))
  }
  for (const [kind, taken] of used) {
    const { capacity } = resident.table(kind)
    const { in: inner, out } = sizes.get(kind) ?? { in: 0, out: 0 }
    for (let slot = 0; slot < capacity; slot++)
      if (slot === EMPTY_SLOT || !taken.has(slot))
        for (let layer = 0; layer < LAYERS; layer++)
          assert.deepEqual(rowsOf(resident, kind, layer, slot), { a: zeros(inner), b: zeros(out) })
  }
}

let evictions = 0

/** LoRAs on all layers and some, one kind and both, of other ranks from layer to layer. */
const kinds: readonly Ranks[] = [
  [{ q_proj: 2 }, { q_proj: 2 }, { q_proj: 2 }],
  [{ q_proj: 1, down_proj: 3 }, { q_proj: 4 }, {}],
  [{}, { down_proj: 2 }, { down_proj: 1 }],
  [
    { q_proj: 8, down_proj: 8 },
    { q_proj: 8, down_proj: 8 },
    { q_proj: 8, down_proj: 8 },
  ],
  [{ down_proj: 1 }, {}, {}],
  [
    { q_proj: 3, down_proj: 1 },
    { q_proj: 1, down_proj: 3 },
    { q_proj: 2, down_proj: 2 },
  ],
]

test('residentLoras: after any windows each resident LoRA has slots of its own with its weights, and the rest is zeros', () => {
  evictions = 0
  const window = fc.uniqueArray(fc.nat(kinds.length - 1), { maxLength: 4 })
  const windows = fc.array(window, { maxLength: 12 })
  fc.assert(
    fc.property(fc.constantFrom(0, 300, 1000, 2500, 1e9), windows, (budget, all) => follow(budget, all)),
    { numRuns: 300 },
  )
  assert.ok(evictions > 100, `only ${evictions} LoRAs gave way`)
})

test('residentLoras: the least recently used gives way first, and a pinned one never', () => {
  const [small] = kinds
  assert.ok(small)
  const bytes = 2 * slotBytes('q_proj')
  const resident = residentLoras(LAYERS, sizes, 0)
  const budget = resident.bytes + 2 * bytes
  const bounded = residentLoras(LAYERS, sizes, budget)
  const add = (key: string, ...pinned: readonly string[]): Slots =>
    bounded.add(key, loraOf(small, key.charCodeAt(0)), new Set([key, ...pinned]))
  add('a')
  add('b')
  bounded.find('a')
  add('c')
  assert.deepEqual(
    ['a', 'b', 'c'].filter(key => bounded.find(key) !== undefined),
    ['a', 'c'],
  )
  add('d', 'a')
  assert.deepEqual(
    ['a', 'c', 'd'].filter(key => bounded.find(key) !== undefined),
    ['a', 'd'],
  )
  assert.ok(bounded.bytes <= budget)
})
