import type { ModelConfig } from '../hf/model-config.ts'
import { buildGraph, type Graph, type Value } from '../onnx/graph.ts'
import type { GraphMessage } from '../onnx/proto.ts'
import { architectures } from './architectures.ts'
import { promptAttention, stepAttention, type PromptCache, type StepCache } from './attention.ts'
import { layersOf } from './layers.ts'
import { KINDS, loraSlots, type LoraSlots, type SlotChoice, type SlotTable } from './lora-slots.ts'
import { nextToken, type SamplingInputs } from './sampling.ts'
import type { WeightsOf } from './weights.ts'

/** One row's token at every step after the row has finished. */
export const NO_TOKEN = -1

/**
 * The whole generation of a window as one graph: the prompt pass, then a Loop with a decode step an iteration, which
 * ends when every row has met its end token, its stop strings or its own limit.
 *
 * Inputs: `tokens` int64 `[b, t]` padded on the right, `lengths`, `limits` int64 `[b]` (new tokens at most), `steps`
 * int64 (the largest limit), `stopTable` int16 `[states, vocabulary]` with `stopState` int64 `[b]` (see stopping.ts),
 * `cos` and `sin` `[positions, d/2]`, the sampling inputs of sampling.ts, bool `adapted`, and for each kind of module
 * its slot table and the choices `prompt` and `step` of lora-slots.ts.
 * Output: `generated` int64 `[steps, b]`, NO_TOKEN after a row has finished.
 *
 * Without `adapted` a branch without any LoRA node runs. ONNX Runtime keeps one copy of a weight, packed once, however many nodes
 * use it, so the second copy of the nodes costs load time only.
 */
export function generationGraph(config: ModelConfig, weightsOf: WeightsOf): GraphMessage {
  return buildGraph('generation', graph => {
    const weights = weightsOf(graph)
    const inputs = declareInputs(graph)
    const tables = new Map<string, SlotTable>(
      KINDS.map(kind => {
        const a = graph.input(`${kind}.a`, 'float32', [`${kind}.slots`, `${kind}.in`])
        const b = graph.input(`${kind}.b`, 'float32', [`${kind}.slots`, `${kind}.out`])
        return [kind, { a, b, capacity: graph.input(`${kind}.capacity`, 'int64', []) }]
      }),
    )
    const [prompt, step] = [choicesOf(graph, 'prompt'), choicesOf(graph, 'step')]
    const branch = (name: string, adapted: boolean) =>
      graph.subgraph(name, body => {
        const forPrompt = adapted ? loraSlots(body, tables, prompt) : null
        const forStep = adapted ? loraSlots(body, tables, step) : null
        body.output(generate(body, inputs, forPrompt, forStep), 'int64')
      })
    const generated = process.env.V === 'base' ? generate(graph, inputs, null, null) : generate(graph, inputs, loraSlots(graph, tables, prompt), loraSlots(graph, tables, step))
    graph.output(generated, 'int64', 'generated', ['steps', 'b'])

    function generate(outer: Graph, { tokens, lengths, ...rest }: Inputs, forPrompt: LoraSlots | null, forStep: LoraSlots | null): Value {
      const cache: PromptCache[] = []
      const rope = { cos: rest.cos, sin: rest.sin }
      const positions = outer.constant('int64', [0], [1])
      const attend = promptAttention(outer, config, { ...rope, positions }, causalMask(outer, tokens), cache)
      const hidden = architectures[config.architecture](layersOf(outer, config, weights, attend, forPrompt), config, tokens)
      const lastPlace = outer.node('Unsqueeze', [outer.node('Sub', [lengths, outer.constant('int64', [1])]), outer.constant('int64', [1], [1])])
      const last = outer.node('GatherND', [hidden, lastPlace], { batch_dims: 1 })
      const first = nextToken(outer, weights.head(outer, last), outer.constant('int64', [0]), rest.sampling)
      const state = advance(outer, rest.stopTable, rest.stopState, first)
      const finished = isFinished(outer, state, rest.limits, outer.constant('int64', [1]))
      const promptLength = outer.node('Shape', [tokens], { start: 1, end: 2 })
      const promptMask = paddingMask(outer, lengths, promptLength)
      const empty = outer.node('ConstantOfShape', [
        outer.node('Concat', [outer.node('Shape', [tokens], { start: 0, end: 1 }), outer.constant('int64', [config.kvHeads, 0, config.headDim], [3])], { axis: 0 }),
      ])
      const body = outer.subgraph('step', loop => {
        const iteration = loop.input('iteration', 'int64', [])
        loop.input('going', 'bool', [])
        const token = loop.input('token', 'int64', ['b'])
        const before = loop.input('state', 'int64', ['b'])
        const done = loop.input('finished', 'bool', ['b'])
        const past: StepCache[] = cache.map((_, layer) => ({
          keys: loop.input(`keys.${layer}`, 'float32', ['b', config.kvHeads, 'n', config.headDim]),
          values: loop.input(`values.${layer}`, 'float32', ['b', config.kvHeads, 'n', config.headDim]),
        }))
        const grown: StepCache[] = []
        const one = loop.constant('int64', [1], [1])
        const place = loop.node('Unsqueeze', [loop.node('Add', [lengths, iteration]), one])
        const stepAttend = stepAttention(loop, config, { ...rope, positions: place }, cache, promptMask, promptLength, past, grown)
        const layers = layersOf(loop, config, weights, stepAttend, forStep)
        const next = architectures[config.architecture](layers, config, loop.node('Unsqueeze', [token, one]))
        const step = loop.node('Add', [iteration, loop.constant('int64', [1])])
        const chosen = nextToken(loop, weights.head(loop, loop.node('Squeeze', [next, one])), step, rest.sampling)
        const after = advance(loop, rest.stopTable, before, chosen)
        const over = loop.node('Or', [done, isFinished(loop, after, rest.limits, loop.node('Add', [step, loop.constant('int64', [1])]))])
        loop.output(anyLeft(loop, over), 'bool')
        loop.output(chosen, 'int64')
        loop.output(after, 'int64')
        loop.output(over, 'bool')
        for (const { keys, values } of grown) {
          loop.output(keys, 'float32')
          loop.output(values, 'float32')
        }
        // Without its rank a Loop of no iterations could not make this output.
        loop.output(loop.node('Where', [done, loop.constant('int64', [NO_TOKEN]), chosen]), 'int64', undefined, ['b'])
      })
      const trips = outer.node('Sub', [rest.steps, outer.constant('int64', [1])])
      const carried = [first, state, finished, ...cache.flatMap(() => [empty, empty])]
      const results = outer.nodes('Loop', [trips, anyLeft(outer, finished), ...carried], { body }, carried.length + 1)
      const later = results.at(-1)
      if (later === undefined) throw new Error('the Loop has outputs')
      const firstRow = outer.node('Unsqueeze', [first, outer.constant('int64', [0], [1])])
      return outer.node('Concat', [firstRow, later], { axis: 0 })
    }
  })
}

type Inputs = ReturnType<typeof declareInputs>

function declareInputs(graph: Graph) {
  const sampling: SamplingInputs = {
    any: graph.input('sampled', 'bool', []),
    temperature: graph.input('temperature', 'float32', ['b']),
    topP: graph.input('topP', 'float32', ['b']),
    topK: graph.input('topK', 'int64', ['b']),
    uniforms: graph.input('uniforms', 'float32', ['b', 'steps']),
  }
  return {
    tokens: graph.input('tokens', 'int64', ['b', 't']),
    lengths: graph.input('lengths', 'int64', ['b']),
    limits: graph.input('limits', 'int64', ['b']),
    steps: graph.input('steps', 'int64', []),
    stopTable: graph.input('stopTable', 'int16', ['states', 'vocabulary']),
    stopState: graph.input('stopState', 'int64', ['b']),
    cos: graph.input('cos', 'float32', ['positions', 'half']),
    sin: graph.input('sin', 'float32', ['positions', 'half']),
    adapted: graph.input('adapted', 'bool', []),
    sampling,
  }
}

function choicesOf(graph: Graph, phase: 'prompt' | 'step'): ReadonlyMap<string, SlotChoice> {
  return new Map(
    KINDS.map(kind => {
      // A dimension's name is a promise that equal names are equal sizes.
      const [n, s] = [`${kind}.${phase}.n`, `${kind}.${phase}.s`]
      const slots = graph.input(`${kind}.${phase}.slots`, 'int64', [n, s])
      return [kind, { slots, weight: graph.input(`${kind}.${phase}.weight`, 'float32', ['b', 1, s]) }]
    }),
  )
}

/** `[t, t]`: 0 where the key is not after the query, else a number that softmax makes 0. */
function causalMask(graph: Graph, tokens: Value): Value {
  const length = graph.node('Shape', [tokens], { start: 1, end: 2 })
  const square = graph.node('Expand', [graph.constant('float32', [MASKED]), graph.node('Concat', [length, length], { axis: 0 })])
  return graph.node('Trilu', [square, graph.constant('int64', [1])], { upper: 1 })
}

/** `[b, 1, 1, t]`: 0 at a row's tokens, MASKED at its padding. */
function paddingMask(graph: Graph, lengths: Value, promptLength: Value): Value {
  const places = graph.node('Range', [graph.constant('int64', [0]), graph.node('Squeeze', [promptLength]), graph.constant('int64', [1])])
  const real = graph.node('Less', [places, graph.node('Unsqueeze', [lengths, graph.constant('int64', [1], [1])])])
  const mask = graph.node('Where', [real, graph.constant('float32', [0]), graph.constant('float32', [MASKED])])
  return graph.node('Unsqueeze', [mask, graph.constant('int64', [1, 2], [2])])
}

/** Far below every score, and no infinity, which would make NaN of a row without tokens. */
const MASKED = -1e9

/** The stop automaton's next state `[b]`; 0 is "stopped". */
function advance(graph: Graph, table: Value, state: Value, token: Value): Value {
  const axis = graph.constant('int64', [1], [1])
  const place = graph.node('Concat', [graph.node('Unsqueeze', [state, axis]), graph.node('Unsqueeze', [token, axis])], { axis: 1 })
  return graph.node('Cast', [graph.node('GatherND', [table, place])], { to: 7 })
}

/** Whether a row that has `count` new tokens is over. */
function isFinished(graph: Graph, state: Value, limits: Value, count: Value): Value {
  const stopped = graph.node('Equal', [state, graph.constant('int64', [0])])
  return graph.node('Or', [stopped, graph.node('LessOrEqual', [limits, count])])
}

function anyLeft(graph: Graph, finished: Value): Value {
  const left = graph.node('Cast', [graph.node('Not', [finished])], { to: 6 })
  return graph.node('Cast', [graph.node('ReduceMax', [left], { keepdims: 0 })], { to: 9 })
}
