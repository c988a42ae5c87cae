import type { Graph, Value } from '../onnx/graph.ts'
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

/** The tables, and what the rows choose of them, by kind. */
export type Loras = {
  readonly tables: ReadonlyMap<string, SlotTable>
  readonly choices: ReadonlyMap<string, SlotChoice>
}

/** What a linear adds for the rows' LoRAs. */
export type LoraSlots = {
  /** base + ((x·Aᵀ) ⊙ weight)·B, for x `[b, t, in]` and base `[b, t, out]`: Σ wⱼ·sⱼ·Bⱼ(Aⱼx) of each row. */
  readonly add: (graph: Graph, base: Value, x: Value, module: string) => Value
}

/**
 * LoRAs of the prompt pass. A module's slots are gathered where they are added, and gone after their layer. Where
 * `adapted` (bool scalar) is there and false, nothing is gathered and nothing added.
 */
export function promptLoras(loras: Loras, product: TransposedProduct, adapted: Value | null): LoraSlots {
  return {
    add(graph, base, x, module) {
      const found = lorasOn(loras, module)
      if (found === null) return base
      const sum = (at: Graph): Value => {
        const { a, b } = gather(at, found)
        const low = groupProduct(at, x, product.prepare(at, inGroups(at, a), 4), product)
        return at.node('Add', [base, at.node('MatMul', [at.node('Mul', [low, found.choice.weight]), b])])
      }
      if (adapted === null) return sum(graph)
      return graph.node('If', [adapted], {
        then_branch: graph.subgraph('adapted', body => body.output(sum(body), 'float32')),
        else_branch: graph.subgraph('base', body => body.output(body.node('Identity', [base]), 'float32')),
      })
    },
  }
}

/**
 * LoRAs of the decode steps. A module's slots are gathered in `root` once, and there for every step of a Loop. Both matrices are
 * turned there, too: by a vector, which a step's one token a row is, ONNX Runtime multiplies a quarter faster with x·Aᵀ as a sum of
 * Aᵀ's rows and with B as dot products (2 cores, 16 rows, 24 slots, 576 wide: 30 µs each instead of 42 and 41). Turning takes
 * 170 µs a matrix of that size: some 15 steps, where a whole window of 8 still takes as long within what can be measured.
 */
export function stepLoras(root: Graph, loras: Loras, product: TransposedProduct): LoraSlots {
  const gathered = new Map<string, { readonly down: Value; readonly up: Value }>()

  /** Aᵀ `[b, in, s]`, and Bᵀ `[b, out, s]` ready for its product. */
  function once(module: string, found: LorasOn): { readonly down: Value; readonly up: Value } {
    const known = gathered.get(module)
    if (known !== undefined) return known
    const { a, b } = gather(root, found)
    const turned = (value: Value): Value => root.node('Transpose', [value], { perm: [0, 2, 1] })
    const pair = { down: turned(a), up: product.prepare(root, turned(b), 3) }
    gathered.set(module, pair)
    return pair
  }

  return {
    add(graph, base, x, module) {
      const found = lorasOn(loras, module)
      if (found === null) return base
      const { down, up } = once(module, found)
      const low = graph.node('Mul', [graph.node('MatMul', [x, down]), found.choice.weight])
      return graph.node('Add', [base, product.times(graph, low, up)])
    },
  }
}

/** What may sit on one module. */
type LorasOn = { readonly layer: number; readonly table: SlotTable; readonly choice: SlotChoice }

function lorasOn({ tables, choices }: Loras, module: string): LorasOn | null {
  const { layer, kind } = placeOf(module)
  const [table, choice] = [tables.get(kind), choices.get(kind)]
  return table === undefined || choice === undefined ? null : { layer, table, choice }
}

/** Rows of A `[b, s, in]` and of Bᵀ `[b, s, out]`. */
function gather(graph: Graph, { layer, table, choice }: LorasOn): { readonly a: Value; readonly b: Value } {
  const start = graph.node('Mul', [table.capacity, graph.constant('int64', [layer])])
  const slots = graph.node('Add', [choice.slots, start])
  return { a: graph.node('Gather', [table.a, slots]), b: graph.node('Gather', [table.b, slots]) }
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
