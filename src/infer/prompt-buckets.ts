import type { ModelConfig } from '../hf/model-config.ts'
import type { Graph, Value } from '../onnx/graph.ts'
import type { PromptCache } from './attention.ts'
import type { BucketInputs, GenerationInputs } from './generation-inputs.ts'
import { SLOT_GROUP, type Loras, type SlotChoice } from './lora-slots.ts'
import { promptLoras } from './prompt-loras.ts'
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
  const whole = root.node('Shape', [tokens], { start: 1, end: 2 })
  const kinds = [...loras.choices]
  const perRow = [tokens, lengths, ...kinds.flatMap(([, { slots, weight }]) => [slots, weight])]
  const scanned = [widths, ...(adapted === null ? [] : [adapted]), ...byBucket(root, perRow, widths)]

  const body = root.subgraph('bucket', graph => {
    const width = graph.node('Unsqueeze', [graph.input('bucket.width', 'int64', []), graph.constant('int64', [0], [1])])
    const isAdapted = adapted === null ? null : graph.input('bucket.adapted', 'bool', [])
    const own = {
      tokens: firstColumns(graph, graph.input('bucket.tokens', 'int64', ['c', 't']), width),
      lengths: graph.input('bucket.lengths', 'int64', ['c']),
    }
    const choices = new Map<string, SlotChoice>()
    for (const [kind] of kinds) {
      const slots = graph.input(`bucket.${kind}.slots`, 'int64', ['c', `${kind}.groups`, SLOT_GROUP])
      choices.set(kind, { slots, weight: graph.input(`bucket.${kind}.weight`, 'float32', ['c', 1, `${kind}.s`]) })
    }
    const added = isAdapted === null ? null : promptLoras({ ...loras, choices }, weights.rows, isAdapted)
    const { last, cache } = promptPass(graph, config, weights, added, { ...own, cos, sin })
    graph.output(last, 'float32', undefined, ['c', config.hidden])
    const missing = graph.node('Sub', [whole, width])
    for (const value of cache.flatMap(layer => padded(graph, layer, missing))) graph.output(value, 'float32')
  })

  const [last, ...caches] = root.nodes(
    'Scan',
    scanned,
    { body, num_scan_inputs: scanned.length },
    1 + 2 * config.layers,
  )
  if (last === undefined) throw new Error('a Scan has outputs')
  const { kvHeads, headDim, hidden } = config
  const size = (value: number): Value => root.constant('int64', [value], [1])
  const cache: PromptCache[] = []
  for (let layer = 0; layer < config.layers; layer += 1) {
    const [keys, values] = caches.slice(2 * layer)
    if (keys === undefined || values === undefined) throw new Error('a bucket puts out the cache of every layer')
    cache.push({
      keys: byRow(root, keys, [size(kvHeads), size(headDim), whole]),
      values: byRow(root, values, [size(kvHeads), whole, size(headDim)]),
    })
  }
  return { last: byRow(root, last, [size(hidden)]), cache }
}

/** Each `[b, …]` as `[n, b/n, …]`. */
function byBucket(graph: Graph, values: readonly Value[], widths: Value): readonly Value[] {
  const buckets = [graph.node('Shape', [widths]), graph.constant('int64', [-1], [1])]
  return values.map(value => {
    const rest = graph.node('Shape', [value], { start: 1 })
    return graph.node('Reshape', [value, graph.node('Concat', [...buckets, rest], { axis: 0 })])
  })
}

/** `[n, b/n, …rest]` as `[b, …rest]`. */
function byRow(graph: Graph, value: Value, rest: readonly Value[]): Value {
  const shape = graph.node('Concat', [graph.constant('int64', [-1], [1]), ...rest], { axis: 0 })
  return graph.node('Reshape', [value, shape])
}

/** The first `count` `[1]` columns of `[rows, columns]`. */
function firstColumns(graph: Graph, value: Value, count: Value): Value {
  const [start, axis] = [graph.constant('int64', [0], [1]), graph.constant('int64', [1], [1])]
  return graph.node('Slice', [value, start, count, axis])
}

/** A layer's keys and values with zeros for `missing` `[1]` tokens behind the others. */
function padded(graph: Graph, { keys, values }: PromptCache, missing: Value): readonly Value[] {
  // As many zeros before each of four axes, then behind each.
  const zeros = (axes: number): Value => graph.constant('int64', Array<number>(axes).fill(0), [axes])
  return [
    graph.node('Pad', [keys, graph.node('Concat', [zeros(7), missing], { axis: 0 })]),
    graph.node('Pad', [values, graph.node('Concat', [zeros(6), missing, zeros(1)], { axis: 0 })]),
  ]
}
