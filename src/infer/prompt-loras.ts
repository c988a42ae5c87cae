import type { Graph, Subgraph, Value } from '../onnx/graph.ts'
import { placesOf, type AdaptedModule, type Loras, type LoraSlots } from './lora-slots.ts'
import type { TransposedProduct } from './transposed-product.ts'

/**
 * LoRAs of the prompt pass. A module's slots are gathered where they are added, and gone after their layer. Where
 * `adapted` (bool scalar) is there and false, nothing is gathered and nothing added.
 */
export function promptLoras(loras: Loras, product: TransposedProduct, adapted: Value | null): LoraSlots {
  return {
    ...loras,
    sums(graph, x, modules) {
      const all = (at: Graph): readonly Value[] => {
        const once = at.node('Unsqueeze', [x, at.constant('int64', [1], [1])])
        return modules.map(module => sum(at, once, module, product))
      }
      if (adapted === null) return all(graph)
      const branch = (name: string, values: (at: Graph) => readonly Value[]): Subgraph =>
        graph.subgraph(name, body => values(body).forEach(value => body.output(value, 'float32')))
      const branches = {
        then_branch: branch('adapted', all),
        else_branch: branch('base', body => modules.map(({ base }) => body.node('Identity', [base]))),
      }
      return graph.nodes('If', [adapted], branches, modules.length)
    },
  }
}

/** base + ((x·Aᵀ) ⊙ weight)·B of one module, for x `[b, 1, t, in]`. */
function sum(graph: Graph, x: Value, module: AdaptedModule, product: TransposedProduct): Value {
  const { base, table, choice } = module
  const places = placesOf(graph, module)
  const a = graph.node('Gather', [table.a, places])
  const byGroup = product.times(graph, x, product.prepare(graph, a, 4))
  const low = reshape(graph, graph.node('Transpose', [byGroup], { perm: [0, 2, 1, 3] }), [0, 0, -1])
  const b = graph.node('Gather', [table.b, reshape(graph, places, [0, -1])])
  return graph.node('Add', [base, graph.node('MatMul', [graph.node('Mul', [low, choice.weight]), b])])
}

/** 0 keeps the axis of the same place, -1 takes what is left. */
function reshape(graph: Graph, value: Value, shape: readonly number[]): Value {
  return graph.node('Reshape', [value, graph.constant('int64', shape, [shape.length])])
}
