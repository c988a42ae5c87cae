import type { ModelConfig } from '../hf/model-config.ts'
import type { Graph, Value } from '../onnx/graph.ts'
import { architectures } from './architectures.ts'
import { MASKED, stepAttention, type PromptCache, type StepCache } from './attention.ts'
import type { GenerationInputs } from './generation-inputs.ts'
import { layersOf } from './layers.ts'
import type { LoraSlots } from './lora-slots.ts'
import { nextToken } from './sampling.ts'
import type { Weights } from './weights.ts'

/** A row's token at every step after it has finished. */
export const NO_TOKEN = -1

/**
 * Decodes after the prompt pass, which gave each row's first `token` `[b]`: at most `trips` steps, fewer when every row has
 * finished. Tokens int64 `[steps, b]`, NO_TOKEN after a row has finished; no trips give no steps.
 */
export function decodeLoop(
  outer: Graph,
  config: ModelConfig,
  weights: Weights,
  loras: LoraSlots | null,
  inputs: GenerationInputs,
  prompt: { readonly token: Value; readonly cache: readonly PromptCache[] },
  trips: Value,
): Value {
  const { tokens, lengths, limits, stopTable, cos, sin, sampling } = inputs
  const { kvHeads, headDim } = config
  const promptLength = outer.node('Shape', [tokens], { start: 1, end: 2 })
  const promptMask = paddingMask(outer, lengths, promptLength)

  const body = outer.subgraph('step', graph => {
    const iteration = graph.input('iteration', 'int64', [])
    graph.input('going', 'bool', [])
    const token = graph.input('token', 'int64', ['b'])
    const stateBefore = graph.input('state', 'int64', ['b'])
    const finishedBefore = graph.input('finished', 'bool', ['b'])
    const past: StepCache[] = prompt.cache.map((_, layer) => ({
      keys: graph.input(`keys.${layer}`, 'float32', ['b', kvHeads, 'n', headDim]),
      values: graph.input(`values.${layer}`, 'float32', ['b', kvHeads, 'n', headDim]),
    }))
    const grown: StepCache[] = []
    const axis = graph.constant('int64', [1], [1])
    const positions = graph.node('Unsqueeze', [graph.node('Add', [lengths, iteration]), axis])
    const rope = { cos, sin, positions }
    const attend = stepAttention(
      graph,
      config,
      rope,
      { cache: prompt.cache, mask: promptMask, length: promptLength },
      { past, grown },
    )
    const layers = layersOf(graph, config, weights, attend, loras)
    const hidden = architectures[config.architecture](layers, config, graph.node('Unsqueeze', [token, axis]))
    const logits = weights.head(graph, graph.node('Squeeze', [hidden, axis]))
    const step = graph.node('Add', [iteration, graph.constant('int64', [1])])
    const next = nextToken(graph, logits, step, sampling)
    const state = advance(graph, stopTable, stateBefore, next)
    const count = graph.node('Add', [step, graph.constant('int64', [1])])
    const finished = graph.node('Or', [finishedBefore, isFinished(graph, state, limits, count)])

    graph.output(anyLeft(graph, finished), 'bool')
    graph.output(next, 'int64')
    graph.output(state, 'int64')
    graph.output(finished, 'bool')
    for (const value of grown.flatMap(({ keys, values }) => [keys, values])) graph.output(value, 'float32')
    const shown = graph.node('Where', [finishedBefore, graph.constant('int64', [NO_TOKEN]), next])
    // A Loop that makes no trip needs the rank to make an empty output.
    graph.output(shown, 'int64', undefined, ['b'])
  })

  const state = advance(outer, stopTable, inputs.stopState, prompt.token)
  const finished = isFinished(outer, state, limits, outer.constant('int64', [1]))
  const empty = emptyCache(outer, tokens, config)
  const carried = [prompt.token, state, finished, ...prompt.cache.flatMap(() => [empty, empty])]
  const results = outer.nodes('Loop', [trips, anyLeft(outer, finished), ...carried], { body }, carried.length + 1)
  const steps = results.at(-1)
  if (steps === undefined) throw new Error('a Loop has outputs')
  return steps
}

/** `[b, kvHeads, 0, d]` */
function emptyCache(graph: Graph, tokens: Value, { kvHeads, headDim }: ModelConfig): Value {
  const rows = graph.node('Shape', [tokens], { start: 0, end: 1 })
  const rest = graph.constant('int64', [kvHeads, 0, headDim], [3])
  return graph.node('ConstantOfShape', [graph.node('Concat', [rows, rest], { axis: 0 })])
}

/** `[b, 1, 1, t]`: 0 at a row's tokens, MASKED at its padding. */
function paddingMask(graph: Graph, lengths: Value, promptLength: Value): Value {
  const [zero, one] = [graph.constant('int64', [0]), graph.constant('int64', [1])]
  const places = graph.node('Range', [zero, graph.node('Squeeze', [promptLength]), one])
  const real = graph.node('Less', [places, graph.node('Unsqueeze', [lengths, graph.constant('int64', [1], [1])])])
  const mask = graph.node('Where', [real, graph.constant('float32', [0]), graph.constant('float32', [MASKED])])
  return graph.node('Unsqueeze', [mask, graph.constant('int64', [1, 2], [2])])
}

/** The stop automaton's next state, int64 `[b]`. */
function advance(graph: Graph, table: Value, state: Value, token: Value): Value {
  const axis = graph.constant('int64', [1], [1])
  const columns = [state, token].map(value => graph.node('Unsqueeze', [value, axis]))
  return graph.node('Cast', [graph.node('GatherND', [table, graph.node('Concat', columns, { axis: 1 })])], {
    to: INT64,
  })
}

/** Whether a row with `count` new tokens is over. */
function isFinished(graph: Graph, state: Value, limits: Value, count: Value): Value {
  const stopped = graph.node('Equal', [state, graph.constant('int64', [0])])
  return graph.node('Or', [stopped, graph.node('LessOrEqual', [limits, count])])
}

function anyLeft(graph: Graph, finished: Value): Value {
  const left = graph.node('Cast', [graph.node('Not', [finished])], { to: INT32 })
  return graph.node('Cast', [graph.node('ReduceMax', [left], { keepdims: 0 })], { to: BOOL })
}

/** TensorProto.DataType */
const [INT32, INT64, BOOL] = [6, 7, 9]
