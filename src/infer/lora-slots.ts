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
 * Which slots of a kind the rows use. With `slots` int64 `[b, s]` every row reads its own; with `[1, s]` each distinct
 * slot is read once and computed for all rows. `weight` float32 `[b, 1, s]` says what is whose: 0 where a slot is not the
 * row's.
 */
export type SlotChoice = { readonly slots: Value; readonly weight: Value }

/** What a linear adds for the rows' LoRAs. */
export type LoraSlots = {
  /** base + ((x·Aᵀ) ⊙ weight)·B, for x `[b, t, in]` and base `[b, t, out]`: Σ wⱼ·sⱼ·Bⱼ(Aⱼx) of each row. */
  readonly add: (graph: Graph, base: Value, x: Value, module: string) => Value
}

/**
 * Gathers a module's slots in `outer` when it is first asked for: in the graph of the prompt pass they are gone after
 * their layer, in the root graph they are there for every step of a Loop.
 */
export function loraSlots(
  outer: Graph,
  tables: ReadonlyMap<string, SlotTable>,
  choices: ReadonlyMap<string, SlotChoice>,
): LoraSlots {
  const gathered = new Map<string, { readonly a: Value; readonly b: Value }>()

  function gather(module: string, table: SlotTable, choice: SlotChoice): { readonly a: Value; readonly b: Value } {
    const known = gathered.get(module)
    if (known !== undefined) return known
    const start = outer.node('Mul', [table.capacity, outer.constant('int64', [placeOf(module).layer])])
    const slots = outer.node('Add', [choice.slots, start])
    const a = outer.node('Transpose', [outer.node('Gather', [table.a, slots])], { perm: [0, 2, 1] })
    const pair = { a, b: outer.node('Gather', [table.b, slots]) }
    gathered.set(module, pair)
    return pair
  }

  return {
    add(graph, base, x, module) {
      const { kind } = placeOf(module)
      const [table, choice] = [tables.get(kind), choices.get(kind)]
      if (table === undefined || choice === undefined) return base
      const { a, b } = gather(module, table, choice)
      const low = graph.node('Mul', [graph.node('MatMul', [x, a]), choice.weight])
      return graph.node('Add', [base, graph.node('MatMul', [low, b])])
    },
  }
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
