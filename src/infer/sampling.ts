import type { Graph, Value } from '../onnx/graph.ts'

/** Per row: `temperature`, `topP` float `[b]`, `topK` int64 `[b]` (vocabulary size for all), `uniforms` float `[b, steps]`. */
export type SamplingInputs = {
  /** bool scalar: whether any row samples; when none does, nothing is sorted. */
  readonly any: Value
  readonly temperature: Value
  readonly topP: Value
  readonly topK: Value
  readonly uniforms: Value
}

/**
 * The next token `[b]` int64 of logits `[b, vocabulary]`. Temperature 0 takes the largest. Otherwise softmax(logits/T),
 * cut to the `topK` largest, then to the smallest set that holds `topP` of those (the one that crosses the line stays
 * in), then the inverse of the cumulative distribution at the row's own uniform of this step. Everything is a row's own
 * affair: neighbours do not change its sample.
 */
export function nextToken(graph: Graph, logits: Value, step: Value, inputs: SamplingInputs): Value {
  const greedy = graph.node('ArgMax', [logits], { axis: 1, keepdims: 0 })
  return graph.node('If', [inputs.any], {
    then_branch: graph.subgraph('sample', body => {
      const sampled = sample(body, logits, step, inputs)
      const isGreedy = body.node('Equal', [inputs.temperature, body.constant('float32', [0])])
      body.output(body.node('Where', [isGreedy, greedy, sampled]), 'int64')
    }),
    else_branch: graph.subgraph('greedy', body => body.output(body.node('Identity', [greedy]), 'int64')),
  })
}

function sample(graph: Graph, logits: Value, step: Value, inputs: SamplingInputs): Value {
  const column = (value: Value): Value => graph.node('Unsqueeze', [value, graph.constant('int64', [1], [1])])
  const one = graph.constant('int64', [1], [1])
  // A greedy row's temperature of 0 must not divide; its sample is thrown away.
  const temperature = graph.node('Max', [column(inputs.temperature), graph.constant('float32', [MIN_TEMPERATURE])])
  const vocabulary = graph.node('Shape', [logits], { start: 1, end: 2 })
  const [sorted, ids] = graph.nodes('TopK', [logits, vocabulary], { axis: 1, largest: 1, sorted: 1 }, 2)
  if (sorted === undefined || ids === undefined) throw new Error('TopK has two outputs')
  const probabilities = graph.node('Softmax', [graph.node('Div', [sorted, temperature])], { axis: 1 })
  const rank = graph.node(
    'CumSum',
    [
      graph.node('Expand', [graph.constant('int64', [1], [1, 1]), graph.node('Shape', [logits])]),
      graph.constant('int64', [1]),
    ],
    { exclusive: 1 },
  )
  const inTopK = keep(graph, probabilities, graph.node('Less', [rank, column(inputs.topK)]))
  const total = last(graph, graph.node('CumSum', [inTopK, graph.constant('int64', [1])]))
  const before = graph.node('CumSum', [inTopK, graph.constant('int64', [1])], { exclusive: 1 })
  // Less than 0 is nobody: a top-p that rounds to 0 keeps the first token all the same.
  const topP = graph.node('Max', [column(inputs.topP), graph.constant('float32', [MIN_TOP_P])])
  const kept = keep(graph, inTopK, graph.node('Less', [before, graph.node('Mul', [total, topP])]))
  const uniform = column(graph.node('Gather', [inputs.uniforms, step], { axis: 1 }))
  const cumulative = graph.node('CumSum', [kept, graph.constant('int64', [1])])
  const target = graph.node('Mul', [uniform, last(graph, cumulative)])
  const reached = graph.node('LessOrEqual', [cumulative, target])
  const passed = graph.node('ReduceSum', [graph.node('Cast', [reached], { to: INT64 }), one], { keepdims: 1 })
  // Rounding may put the target at the very end: the last token with a chance is the one.
  const chances = graph.node('Cast', [graph.node('Greater', [kept, graph.constant('float32', [0])])], { to: INT64 })
  const lastChance = graph.node('Sub', [
    graph.node('ReduceSum', [chances, one], { keepdims: 1 }),
    graph.constant('int64', [1]),
  ])
  const place = graph.node('Min', [passed, lastChance])
  return graph.node('Squeeze', [graph.node('GatherElements', [ids, place], { axis: 1 }), one])
}

/** Below this a softmax is greedy to the last bit, and 1/T still fits a float. */
const MIN_TEMPERATURE = 1e-4

/** Below every chance that the first of float32 probabilities can have. */
const MIN_TOP_P = 1e-30

/** TensorProto.DataType.INT64 */
const INT64 = 7

const keep = (graph: Graph, values: Value, mask: Value): Value =>
  graph.node('Where', [mask, values, graph.constant('float32', [0])])

/**
 * The last column `[b, 1]` of a cumulative sum: the sum of a row from left to right. ReduceSum would add up in another
 * order where a row starts elsewhere in memory, and so with its neighbours.
 */
const last = (graph: Graph, cumulative: Value): Value =>
  graph.node('Gather', [cumulative, graph.constant('int64', [-1], [1])], { axis: 1 })
