import type { ModelConfig } from '../hf/model-config.ts'
import { buildGraph, type Graph, type Value } from '../onnx/graph.ts'
import type { GraphMessage } from '../onnx/proto.ts'
import type { Device } from '../onnx/session.ts'
import { decodeLoop } from './decode-loop.ts'
import { declareBuckets, declareChoices, declareInputs, declareTables } from './generation-inputs.ts'
import type { Kind, LoraSlots } from './lora-slots.ts'
import { promptBuckets } from './prompt-buckets.ts'
import { promptLoras } from './prompt-loras.ts'
import { promptLogits, promptPass } from './prompt-pass.ts'
import { nextToken } from './sampling.ts'
import { stepLoras } from './step-loras.ts'
import type { WeightsOf } from './weights.ts'

/**
 * Whether prompts run a bucket at a time. One pass over all of them keeps more of a GPU busy, and ONNX Runtime has no Scan on
 * WebGPU.
 */
export const runsInBuckets = (device: Device): boolean => device === 'cpu'

/**
 * The whole generation of a window as one graph: the prompt pass, then a Loop with a decode step an iteration, which
 * ends when every row has met its end token, its stop strings or its own limit. Inputs: generation-inputs.ts. Output:
 * `generated` int64 `[steps, b]`, NO_TOKEN after a row has finished.
 *
 * With `kinds` (of module that may carry LoRAs) the decode steps are two Loops, with LoRAs and without, of which one makes no
 * trip: `adapted` says which. ONNX Runtime packs weights for the subgraphs of a graph, but not for a Loop inside an If, which
 * then takes eight times as long. However many nodes use a weight, it is kept once.
 */
export function generationGraph(
  config: ModelConfig,
  weightsOf: WeightsOf,
  kinds: readonly Kind[],
  device: Device,
): GraphMessage {
  return buildGraph('generation', graph => {
    const weights = weightsOf(graph)
    const inputs = declareInputs(graph)
    const adapted = kinds.length === 0 ? null : graph.input('adapted', 'bool', [])
    const tables = declareTables(graph, kinds)
    const prompts = { tables, choices: declareChoices(graph, kinds, 'prompt') }
    const prompt = runsInBuckets(device)
      ? promptBuckets(graph, config, weights, prompts, inputs, declareBuckets(graph, kinds))
      : promptPass(
          graph,
          config,
          weights,
          adapted === null ? null : promptLoras(prompts, weights.rows, adapted),
          inputs,
        )
    const first = nextToken(graph, weights.head(graph, prompt.last), graph.constant('int64', [0]), inputs.sampling)
    const decode = (loras: LoraSlots | null, trips: Value): Value =>
      decodeLoop(graph, config, weights, loras, inputs, { token: first, cache: prompt.cache }, trips)
    const later =
      adapted === null
        ? [decode(null, inputs.trips(null))]
        : [
            decode(
              stepLoras(graph, { tables, choices: declareChoices(graph, kinds, 'step') }, weights.rows),
              inputs.trips(adapted),
            ),
            decode(null, inputs.trips(graph.node('Not', [adapted]))),
          ]
    graph.output(joined(graph, first, later), 'int64', 'generated', ['steps', 'b'])
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
    const loras = promptLoras(
      { tables: declareTables(graph, kinds), choices: declareChoices(graph, kinds, 'prompt') },
      weights.rows,
      null,
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
