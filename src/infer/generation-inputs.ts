import type { Graph, Value } from '../onnx/graph.ts'
import { SLOT_GROUP, type Kind, type SlotChoice, type SlotTable } from './lora-slots.ts'
import type { SamplingInputs } from './sampling.ts'

/** The rows of a window, as the graph takes them. */
export type GenerationInputs = {
  /** int64 `[b, t]`, padded on the right. */
  readonly tokens: Value
  /** int64 `[b]`: tokens of each prompt. */
  readonly lengths: Value
  /** int64 `[b]`: new tokens at most. */
  readonly limits: Value
  /** int16 `[states, vocabulary]`: the next state of a row's stop automaton; 0 is stopped (stopping.ts). */
  readonly stopTable: Value
  /** int64 `[b]`: the state that each row starts in. */
  readonly stopState: Value
  /** float32 `[positions, d/2]` both. */
  readonly cos: Value
  readonly sin: Value
  readonly sampling: SamplingInputs
  /** Iterations of a decode loop that runs when `condition` (bool scalar) holds, and always without one. */
  trips(condition: Value | null): Value
}

export function declareInputs(graph: Graph): GenerationInputs {
  const steps = graph.input('steps', 'int64', [])
  return {
    tokens: graph.input('tokens', 'int64', ['b', 't']),
    lengths: graph.input('lengths', 'int64', ['b']),
    limits: graph.input('limits', 'int64', ['b']),
    stopTable: graph.input('stopTable', 'int16', ['states', 'vocabulary']),
    stopState: graph.input('stopState', 'int64', ['b']),
    cos: graph.input('cos', 'float32', ['positions', 'half']),
    sin: graph.input('sin', 'float32', ['positions', 'half']),
    sampling: {
      any: graph.input('sampled', 'bool', []),
      temperature: graph.input('temperature', 'float32', ['b']),
      topP: graph.input('topP', 'float32', ['b']),
      topK: graph.input('topK', 'int64', ['b']),
      uniforms: graph.input('uniforms', 'float32', ['b', 'steps']),
    },
    // The first token comes of the prompt pass.
    trips(condition) {
      const all = graph.node('Sub', [steps, graph.constant('int64', [1])])
      return condition === null ? all : graph.node('Where', [condition, all, graph.constant('int64', [0])])
    },
  }
}

/** Of each kind `KIND.a`, `KIND.b` and `KIND.capacity`. */
export function declareTables(graph: Graph, kinds: readonly Kind[]): ReadonlyMap<string, SlotTable> {
  return new Map(
    kinds.map(kind => [
      kind,
      {
        a: graph.input(`${kind}.a`, 'float32', [`${kind}.resident`, `${kind}.in`]),
        b: graph.input(`${kind}.b`, 'float32', [`${kind}.resident`, `${kind}.out`]),
        capacity: graph.input(`${kind}.capacity`, 'int64', []),
      },
    ]),
  )
}

/** Buckets of a run, of equally many rows that follow each other: `widths` int64 `[n]`, and which have LoRAs, bool `[n]`. */
export type BucketInputs = { readonly widths: Value; readonly adapted: Value | null }

/** `buckets.widths`, and with `kinds` `buckets.adapted`. */
export function declareBuckets(graph: Graph, kinds: readonly Kind[]): BucketInputs {
  return {
    widths: graph.input('buckets.widths', 'int64', ['buckets']),
    adapted: kinds.length === 0 ? null : graph.input('buckets.adapted', 'bool', ['buckets']),
  }
}

/** The pass that slots are chosen for. */
export type Phase = 'prompt' | 'step'

/** Of each kind `KIND.PHASE.slots` and `KIND.PHASE.weight`. */
export function declareChoices(graph: Graph, kinds: readonly Kind[], phase: Phase): ReadonlyMap<string, SlotChoice> {
  return new Map(
    kinds.map(kind => {
      const name = `${kind}.${phase}`
      const width = phase === 'prompt' ? [`${name}.groups`, SLOT_GROUP] : [`${name}.s`]
      const slots = graph.input(`${name}.slots`, 'int64', ['b', ...width])
      return [kind, { slots, weight: graph.input(`${name}.weight`, 'float32', ['b', 1, `${name}.s`]) }]
    }),
  )
}
