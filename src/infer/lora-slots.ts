import type { Graph, Value } from '../onnx/graph.ts'
import type { Phase } from './generation-inputs.ts'
import type { TransposedProduct } from './transposed-product.ts'

/** The kinds of linear that a LoRA may sit on: the last name of a module. */
export const KINDS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] as const

export type Kind = (typeof KINDS)[number]

/**
 * The resident LoRAs of one kind. A slot is one rank of one adapter, a row of A and a row of Bᵀ, at the same place in
 * every layer: `a` is `[layers·capacity, in]`, `b` `[layers·capacity, out]` (α/r in it), `capacity` an int64 scalar.
 */
export type SlotTable = { readonly a: Value; readonly b: Value; readonly capacity: Value }

/**
 * The slots of a kind that each row uses, int64 `[b, s]`, and what they weigh, float32 `[b, 1, s]`; 0 for filling up. s is
 * a multiple of SLOT_GROUP in the prompt pass, of STEP_GROUP in a step.
 */
export type SlotChoice = { readonly slots: Value; readonly weight: Value }

/**
 * Slots that the prompt pass multiplies at a time. ONNX Runtime cuts a product's sum in pieces that depend on how wide
 * it is, unless it is as narrow as this: then a row's sum is the same with whatever neighbours.
 */
export const SLOT_GROUP = 16

/** Slots that a step's product takes at a time, for its one token a row; what is left over would be added up in another order. */
export const STEP_GROUP = 4

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
  phase: Phase,
  product: TransposedProduct,
): LoraSlots {
  const gathered = new Map<string, { readonly a: Value; readonly b: Value }>()

  function gather(module: string, table: SlotTable, choice: SlotChoice): { readonly a: Value; readonly b: Value } {
    const known = gathered.get(module)
    if (known !== undefined) return known
    const start = outer.node('Mul', [table.capacity, outer.constant('int64', [placeOf(module).layer])])
    const slots = outer.node('Add', [choice.slots, start])
    const rows = outer.node('Gather', [table.a, slots])
    const a = phase === 'step' ? product.prepare(outer, rows, 3) : product.prepare(outer, inGroups(outer, rows), 4)
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
      const low = graph.node('Mul', [
        phase === 'step' ? product.times(graph, x, a) : groupProduct(graph, x, a, product),
        choice.weight,
      ])
      return graph.node('Add', [base, graph.node('MatMul', [low, b])])
    },
  }
}

/** A `[b, s, in]` as `[b, s/SLOT_GROUP, SLOT_GROUP, in]`. */
function inGroups(graph: Graph, a: Value): Value {
  const width = graph.node('Shape', [a], { start: 2, end: 3 })
  const shape = graph.node('Concat', [graph.constant('int64', [0, -1, SLOT_GROUP], [3]), width], { axis: 0 })
  return graph.node('Reshape', [a, shape])
}

/** x·Aᵀ `[b, t, s]` of x `[b, t, in]` and A in groups. */
function groupProduct(graph: Graph, x: Value, a: Value, { times }: TransposedProduct): Value {
  const product = times(graph, graph.node('Unsqueeze', [x, graph.constant('int64', [1], [1])]), a)
  const byToken = graph.node('Transpose', [product], { perm: [0, 2, 1, 3] })
  return graph.node('Reshape', [byToken, graph.constant('int64', [0, 0, -1], [3])])
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
