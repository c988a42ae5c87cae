import type { Graph, Value } from '../onnx/graph.ts'

/** The kinds of linear that a LoRA may sit on: the last name of a module. */
export const KINDS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] as const

export type Kind = (typeof KINDS)[number]

/**
 * The resident LoRAs of one kind. A slot is one rank of one adapter, a row of A and a row of Bᵀ, at the same place in
 * every layer: `a` is `[layers·capacity, in]`, `b` `[layers·capacity, out]` (α/r in it), `capacity` an int64 scalar.
 */
export type SlotTable = { readonly a: Value; readonly b: Value; readonly capacity: Value }

/**
 * The slots of a kind that each row uses, int64, and what they weigh, float32 `[b, 1, s]`; 0 for filling up. In the prompt
 * pass slots are `[b, s/SLOT_GROUP, SLOT_GROUP]`, in a step `[b, s]`, where s is a multiple of STEP_GROUP.
 */
export type SlotChoice = { readonly slots: Value; readonly weight: Value }

/**
 * Slots that the prompt pass multiplies at a time. ONNX Runtime cuts a product's sum in pieces that depend on how wide
 * it is, unless it is as narrow as this: then a row's sum is the same with whatever neighbours.
 */
export const SLOT_GROUP = 16

/** Slots that a step's product takes at a time, for its one token a row; what is left over would be added up in another order. */
export const STEP_GROUP = 4

/** The tables, and what the rows choose of them, by kind. */
export type Loras = {
  readonly tables: ReadonlyMap<string, SlotTable>
  readonly choices: ReadonlyMap<string, SlotChoice>
}

/** A module that LoRAs may sit on, and what it puts out without them, `[b, t, out]`. */
export type AdaptedModule = {
  readonly module: string
  readonly layer: number
  readonly base: Value
  readonly table: SlotTable
  readonly choice: SlotChoice
}

/** The rows' LoRAs in one pass. */
export type LoraSlots = Loras & {
  /**
   * For modules that all read x, `[b, t, in]`, what each puts out with its LoRAs: base + ((x·Aᵀ) ⊙ weight)·B, which is
   * Σ wⱼ·sⱼ·Bⱼ(Aⱼx) of each row.
   */
  readonly sums: (graph: Graph, x: Value, modules: readonly AdaptedModule[]) => readonly Value[]
}

/** What modules that all read x put out, by name, with the rows' LoRAs; a module that none may sit on as it is. */
export function withLoras(
  graph: Graph,
  x: Value,
  outputs: ReadonlyMap<string, Value>,
  { tables, choices, sums }: LoraSlots,
): ReadonlyMap<string, Value> {
  const adapted = [...outputs].flatMap(([module, base]) => {
    const { layer, kind } = placeOf(module)
    const [table, choice] = [tables.get(kind), choices.get(kind)]
    return table === undefined || choice === undefined ? [] : [{ module, layer, base, table, choice }]
  })
  if (adapted.length === 0) return outputs
  const all = new Map(outputs)
  const added = sums(graph, x, adapted)
  for (const [place, { module }] of adapted.entries()) {
    const sum = added[place]
    if (sum === undefined) throw new Error(`${module} got no sum: ${added.length} for ${adapted.length} modules`)
    all.set(module, sum)
  }
  return all
}

/** Where the slots that a module's rows use lie in its tables: as `choice.slots`, for its layer. */
export function placesOf(graph: Graph, { layer, table, choice }: AdaptedModule): Value {
  return graph.node('Add', [choice.slots, graph.node('Mul', [table.capacity, graph.constant('int64', [layer])])])
}

/** The layer and kind of a module's name: `model.layers.3.self_attn.q_proj` is `q_proj` of layer 3. */
export function placeOf(module: string): { readonly layer: number; readonly kind: string } {
  const layer = /\.layers\.(\d+)\./.exec(module)?.[1]
  if (layer === undefined) throw new Error(`${module} is in no layer`)
  return { layer: Number(layer), kind: module.slice(module.lastIndexOf('.') + 1) }
}

/** Whether a module's last name is a kind that may carry LoRAs. */
export function isKind(name: string): name is Kind {
  return KINDS.some(kind => kind === name)
}
