import type { ModelConfig } from '../hf/model-config.ts'
import type { Graph, Value } from '../onnx/graph.ts'
import type { BucketInputs, GenerationInputs } from './generation-inputs.ts'
import { promptLoras, type Loras, type SlotChoice } from './lora-slots.ts'
import { promptPass, type PromptState } from './prompt-pass.ts'
import type { Weights } from './weights.ts'

/**
 * The prompt pass a bucket at a time: what it works in is as large as one bucket, and a bucket's prompts are padded to its
 * own width. Keys and values are padded to the run's, each written once, where decoding reads them.
 */
export function promptBuckets(
  root: Graph,
  config: ModelConfig,
  weights: Weights,
  loras: Loras,
  inputs: GenerationInputs,
  { widths, adapted }: BucketInputs,
): PromptState {
  const { tokens, lengths, cos, sin } = inputs
  const count = root.node('Shape', [widths])
  /** `[b, …]` as `[n, b/n, …]`. */
  const split = (rows: Value): Value => {
    const rest = root.node('Shape', [rows], { start: 1 })
    return root.node('Reshape', [
      rows,
      root.node('Concat', [count, root.constant('int64', [-1], [1]), rest], { axis: 0 }),
    ])
  }
  const kinds = [...loras.choices]
  const scanned = [
    widths,
    split(tokens),
    split(lengths),
    ...(adapted === null ? [] : [adapted]),
    ...kinds.flatMap(([, { slots, weight }]) => [split(slots), split(weight)]),
  ]
  const whole = root.node('Shape', [tokens], { start: 1, end: 2 })

  const body = root.subgraph('bucket', graph => {
    const axis = graph.constant('int64', [0], [1])
    const width = graph.node('Unsqueeze', [graph.input('bucket.width', 'int64', []), axis])
    const padded = graph.input('bucket.tokens', 'int64', ['c', 't'])
    const own = {
      tokens: graph.node('Slice', [padded, axis, width, graph.constant('int64', [1], [1])]),
      lengths: graph.input('bucket.lengths', 'int64', ['c']),
    }
    const isAdapted = adapted === null ? null : graph.input('bucket.adapted', 'bool', [])
    const choices = new Map<string, SlotChoice>()
    for (const [kind] of kinds) {
      const slots = graph.input(`bucket.${kind}.slots`, 'int64', ['c', `${kind}.s`])
      choices.set(kind, { slots, weight: graph.input(`bucket.${kind}.weight`, 'float32', ['c', 1, `${kind}.s`]) })
    }
    const added = isAdapted === null ? null : promptLoras({ ...loras, choices }, weights.rows, isAdapted)
    const { last, cache } = promptPass(graph, config, weights, added, { ...own, cos, sin })
    graph.output(last, 'float32', undefined, ['c', config.hidden])
    const missing = graph.node('Sub', [whole, width])
    const none = (axes: number): Value => graph.constant('int64', Array<number>(axes).fill(0), [axes])
    // Zeros before every axis, then after every axis.
    const [ofKeys, ofValues] = [
      graph.node('Concat', [none(7), missing], { axis: 0 }),
      graph.node('Concat', [none(6), missing, none(1)], { axis: 0 }),
    ]
    for (const { keys, values } of cache) {
      graph.output(graph.node('Pad', [keys, ofKeys]), 'float32')
      graph.output(graph.node('Pad', [values, ofValues]), 'float32')
    }
  })
  const [last, ...caches] = root.nodes(
    'Scan',
    scanned,
    { body, num_scan_inputs: scanned.length },
    1 + 2 * config.layers,
  )
  if (last === undefined) throw new Error('a Scan has outputs')
  /** `[n, b/n, …]` as `[b, …]`. */
  const joined = (value: Value, rest: Value): Value =>
    root.node('Reshape', [value, root.node('Concat', [root.constant('int64', [-1], [1]), rest], { axis: 0 })])
  const { kvHeads, headDim } = config
  const [heads, dims] = [root.constant('int64', [kvHeads], [1]), root.constant('int64', [headDim], [1])]
  const ofKeys = root.node('Concat', [heads, dims, whole], { axis: 0 })
  const ofValues = root.node('Concat', [heads, whole, dims], { axis: 0 })
  return {
    last: joined(last, root.constant('int64', [config.hidden], [1])),
    cache: caches.flatMap((keys, index) => {
      const values = caches[index + 1]
      return index % 2 === 0 && values !== undefined
        ? [{ keys: joined(keys, ofKeys), values: joined(values, ofValues) }]
        : []
    }),
  }
}
