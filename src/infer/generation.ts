import type { ModelConfig } from '../hf/model-config.ts'
import { buildGraph, type Graph, type Value } from '../onnx/graph.ts'
import type { GraphMessage } from '../onnx/proto.ts'
import { decodeLoop } from './decode-loop.ts'
import { declareChoices, declareInputs, declareTables } from './generation-inputs.ts'
import { loraSlots, type Kind } from './lora-slots.ts'
import { promptLogits, promptPass } from './prompt-pass.ts'
import type { WeightsOf } from './weights.ts'

/**
 * The whole generation of a window as one graph: the prompt pass, then a Loop with a decode step an iteration, which
 * ends when every row has met its end token, its stop strings or its own limit. Inputs: generation-inputs.ts. Output:
 * `generated` int64 `[steps, b]`, NO_TOKEN after a row has finished.
 *
 * With `kinds` (of module that may carry LoRAs) the forward pass is there twice, with LoRAs and without, and `adapted`
 * says which runs. The prompt pass is a branch of an If; the decode steps are two Loops, of which one makes no trip:
 * ONNX Runtime packs weights for the subgraphs of a graph, but not for a Loop inside an If, which then takes eight
 * times as long. However many nodes use a weight, it is kept once.
 */
export function generationGraph(config: ModelConfig, weightsOf: WeightsOf, kinds: readonly Kind[]): GraphMessage {
  return buildGraph('generation', graph => {
    const weights = weightsOf(graph)
    const inputs = declareInputs(graph)
    if (kinds.length === 0) {
      const prompt = promptPass(graph, config, weights, null, inputs)
      const later = decodeLoop(graph, config, weights, null, inputs, prompt, inputs.trips(null))
      graph.output(joined(graph, prompt.token, [later]), 'int64', 'generated', ['steps', 'b'])
      return
    }
    const adapted = graph.input('adapted', 'bool', [])
    const tables = declareTables(graph, kinds)
    const promptChoices = declareChoices(graph, kinds, 'prompt')
    const stepLoras = loraSlots(graph, tables, declareChoices(graph, kinds, 'step'), 'step', weights.rows)

    const branch = (name: string, withLoras: boolean) =>
      graph.subgraph(name, body => {
        const loras = withLoras ? loraSlots(body, tables, promptChoices, 'prompt', weights.rows) : null
        const { token, cache } = promptPass(body, config, weights, loras, inputs)
        body.output(token, 'int64')
        for (const value of cache.flatMap(({ keys, values }) => [keys, values])) body.output(value, 'float32')
      })
    const [token, ...caches] = graph.nodes(
      'If',
      [adapted],
      { then_branch: branch('adapted_prompt', true), else_branch: branch('base_prompt', false) },
      1 + 2 * config.layers,
    )
    if (token === undefined) throw new Error('the prompt pass has outputs')
    const prompt = { token, cache: pairs(caches) }
    const later = [
      decodeLoop(graph, config, weights, stepLoras, inputs, prompt, inputs.trips(adapted)),
      decodeLoop(graph, config, weights, null, inputs, prompt, inputs.trips(graph.node('Not', [adapted]))),
    ]
    graph.output(joined(graph, token, later), 'int64', 'generated', ['steps', 'b'])
  })
}

/**
 * The prompt pass alone with the logits of every position: `logits` float32 `[b, t, vocabulary]`. For perplexity, and
 * to compare with other implementations. Inputs as above, as far as the prompt pass has them.
 */
export function scoringGraph(config: ModelConfig, weightsOf: WeightsOf, kinds: readonly Kind[]): GraphMessage {
  return buildGraph('scoring', graph => {
    const weights = weightsOf(graph)
    const tokens = graph.input('tokens', 'int64', ['b', 't'])
    const rope = {
      cos: graph.input('cos', 'float32', ['positions', 'half']),
      sin: graph.input('sin', 'float32', ['positions', 'half']),
    }
    const loras = loraSlots(
      graph,
      declareTables(graph, kinds),
      declareChoices(graph, kinds, 'prompt'),
      'prompt',
      weights.rows,
    )
    const logits = promptLogits(graph, config, weights, loras, { tokens, ...rope })
    graph.output(logits, 'float32', 'logits', ['b', 't', 'vocabulary'])
  })
}

/** `[1 + n, b]` of the first token `[b]` and later ones `[n, b]`, of which all but one list are empty. */
function joined(graph: Graph, first: Value, later: readonly Value[]): Value {
  return graph.node('Concat', [graph.node('Unsqueeze', [first, graph.constant('int64', [0], [1])]), ...later], {
    axis: 0,
  })
}

function pairs(values: readonly Value[]): { readonly keys: Value; readonly values: Value }[] {
  return values.flatMap((keys, index) => {
    const next = values[index + 1]
    return index % 2 === 0 && next !== undefined ? [{ keys, values: next }] : []
  })
}
