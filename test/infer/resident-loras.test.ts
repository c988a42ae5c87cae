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

/** Adds these LoRAs one after the other, with `pinned` of them never to give way, and checks everything after each. */
function follow(budget: number, steps: readonly (readonly [lora: number, pinned: readonly number[]])[]): void {
  const resident = residentLoras(LAYERS, sizes, budget)
  const atStart = resident.bytes
  const held = new Map<number, Slots>()
  let evicted = 0
  for (const [lora, pinned] of steps) {
    const ranks = kinds[lora] ?? []
    const modules = loraOf(ranks, lora)
    const before = new Map(held)
    const found = resident.find(`${lora}`)
    if (held.has(lora)) assert.deepEqual(found, held.get(lora))
    const slots = found ?? resident.add(`${lora}`, modules, new Set([...pinned, lora].map(String)))
    for (const kind of sizes.keys()) assert.equal((slots.get(kind) ?? []).length, widest(ranks, kind))
    held.set(lora, slots)
    for (const other of [...held.keys()].filter(one => one !== lora)) {
      // Asking marks as used, so the rest of the check asks in the order of use.
      if (resident.find(`${other}`) !== undefined) continue
      held.delete(other)
      evicted += 1
      assert.ok(!pinned.includes(other) && before.has(other), `${other} gave way though it was pinned`)
    }
    resident.find(`${lora}`)
    const used = new Map<Kind, Set<number>>([...sizes.keys()].map(kind => [kind, new Set([EMPTY_SLOT])]))
    for (const [other, own] of held) {
      for (const [kind, list] of own)
        for (const slot of list) {
          assert.ok(!used.get(kind)?.has(slot), `slot ${slot} of ${kind} is shared`)
          used.get(kind)?.add(slot)
        }
      assertHeld(resident, own, loraOf(kinds[other] ?? [], other))
    }
    for (const [kind, taken] of used) {
      const { capacity } = resident.table(kind)
      const { in: inner, out } = sizes.get(kind) ?? { in: 0, out: 0 }
      for (let slot = 0; slot < capacity; slot++)
        if (slot === EMPTY_SLOT || !taken.has(slot))
          for (let layer = 0; layer < LAYERS; layer++)
            assert.deepEqual(rowsOf(resident, kind, layer, slot), { a: zeros(inner), b: zeros(out) })
    }
    // What stays is within the budget, unless the window itself needs more: then half as much again at most.
    const needed = [lora, ...pinned.filter(other => held.has(other))].reduce(
      (sum, other) =>
        sum + [...sizes.keys()].reduce((all, kind) => all + widest(kinds[other] ?? [], kind) * slotBytes(kind), 0),
      0,
    )
    largestNeed = Math.max(largestNeed, needed)
    assert.ok(
      resident.bytes <= Math.max(budget, atStart + 2 * largestNeed),
      `${resident.bytes} bytes of ${budget}, for a window of ${largestNeed}`,
    )
  }
  evictions += evicted
}

let largestNeed = 0
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
  const lora = fc.nat(kinds.length - 1)
  const steps = fc.array(fc.tuple(lora, fc.uniqueArray(lora, { maxLength: 2 })), { maxLength: 25 })
  fc.assert(
    fc.property(fc.constantFrom(0, 300, 1000, 2500, 1e9), steps, (budget, all) => {
      largestNeed = 0
      follow(budget, all)
    }),
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
