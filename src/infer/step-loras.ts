import type { Graph, Value } from '../onnx/graph.ts'
import { placesOf, type AdaptedModule, type Loras, type LoraSlots } from './lora-slots.ts'
import type { TransposedProduct } from './transposed-product.ts'

/**
 * LoRAs of the decode steps. A module's slots are gathered in `root` once, and there for every step of a Loop. Both matrices are
 * turned there, too: by a vector, which a step's one token a row is, ONNX Runtime multiplies a quarter faster with x·Aᵀ as a sum of
 * Aᵀ's rows and with B as dot products (2 cores, 16 rows, 24 slots, 576 wide: 30 µs each instead of 42 and 41). Turning takes
 * 170 µs a matrix of that size: some 15 steps, where a whole window of 8 still takes as long within what can be measured.
 *
 * Modules that read the same x are one product, with their A side by side.
 */
export function stepLoras(root: Graph, loras: Loras, product: TransposedProduct): LoraSlots {
  const turned = (value: Value): Value => root.node('Transpose', [value], { perm: [0, 2, 1] })
  return {
    ...loras,
    sums(graph, x, modules) {
      const gathered = modules.map(module => {
        const places = placesOf(root, module)
        return { a: root.node('Gather', [module.table.a, places]), b: root.node('Gather', [module.table.b, places]) }
      })
      const a = gathered.map(pair => pair.a)
      const weights = modules.map(({ choice }) => choice.weight)
      const down = graph.node('MatMul', [x, turned(joined(root, a, 1))])
      const low = graph.node('Mul', [down, joined(root, weights, 2)])
      const lows =
        modules.length === 1 ? [low] : graph.nodes('Split', [low, widths(root, modules)], { axis: 2 }, modules.length)
      return modules.map(({ module, base }, place) => {
        const [own, pair] = [lows[place], gathered[place]]
        if (own === undefined || pair === undefined) throw new Error(`${module} has no part of the product`)
        const up = product.prepare(root, turned(pair.b), 3)
        return graph.node('Add', [base, product.times(graph, own, up)])
      })
    },
  }
}

/** How many slots each module's rows have, int64 `[modules]`. */
function widths(graph: Graph, modules: readonly AdaptedModule[]): Value {
  const each = modules.map(({ choice }) => graph.node('Shape', [choice.slots], { start: 1, end: 2 }))
  return graph.node('Concat', each, { axis: 0 })
}

/** One as it is: ONNX Runtime would copy it. */
function joined(graph: Graph, values: readonly Value[], axis: number): Value {
  const [only, another] = values
  return only !== undefined && another === undefined ? only : graph.node('Concat', values, { axis })
}
