/** How rotary frequencies are stretched beyond the context that the model was first trained with. */
export type RopeScaling =
  | { readonly type: 'none' }
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3'
      readonly factor: number
      readonly lowFreqFactor: number
      readonly highFreqFactor: number
      readonly originalContext: number
    }

/** The families that an engine has a forward pass for. */
export type Architecture = 'llama' | 'qwen2'

/** What a model computes with, whichever file said so; every number is checked and within {@link BOUNDS}. */
export type ModelConfig = {
  readonly architecture: Architecture
  readonly layers: number
  readonly hidden: number
  readonly intermediate: number
  readonly heads: number
  /** Divides `heads`. */
  readonly kvHeads: number
  /** Even. */
  readonly headDim: number
  readonly vocab: number
  /** Positions that the model was trained for. */
  readonly contextLength: number
  readonly normEps: number
  readonly ropeTheta: number
  readonly ropeScaling: RopeScaling
  /** The output head is the embedding matrix. */
  readonly tied: boolean
  readonly qkvBias: boolean
  /** Of `o_proj`. */
  readonly outputBias: boolean
  readonly mlpBias: boolean
  /** Tokens that end an answer: those of the generation config, else the config's; may be none. */
  readonly eosTokenIds: readonly number[]
  readonly bosTokenId: number | null
  readonly padTokenId: number | null
}

/**
 * Largest sizes: several times those of any published dense model, so that a damaged file is told at once, and small
 * enough that products of two of them are exact and a list of all weights is short.
 */
export const BOUNDS = {
  layers: 1024,
  hidden: 131_072,
  intermediate: 1_048_576,
  heads: 1024,
  headDim: 1024,
  vocab: 4_194_304,
  contextLength: 134_217_728,
} as const

/**
 * The angle that each pair of a head's dimensions turns by per position: `[headDim / 2]`, in float32 steps as
 * transformers takes them (`modeling_rope_utils.py`: `_compute_default_rope_parameters`, `_compute_llama3_parameters`).
 */
export function ropeInverseFrequencies(
  config: Pick<ModelConfig, 'headDim' | 'ropeTheta' | 'ropeScaling'>,
): Float32Array {
  const { headDim, ropeTheta, ropeScaling: scaling } = config
  return Float32Array.from({ length: headDim / 2 }, (_, pair) => {
    const frequency = 1 / Math.fround(ropeTheta ** Math.fround((2 * pair) / headDim))
    if (scaling.type === 'linear') return frequency / scaling.factor
    return scaling.type === 'llama3' ? llama3(Math.fround(frequency), scaling) : frequency
  })
}

/** Long waves are stretched by the factor, short ones kept, those between blended. */
function llama3(frequency: number, scaling: Extract<RopeScaling, { type: 'llama3' }>): number {
  const { factor, lowFreqFactor, highFreqFactor, originalContext } = scaling
  const turns = (originalContext * frequency) / (2 * Math.PI)
  if (turns < lowFreqFactor) return frequency / factor
  if (turns > highFreqFactor) return frequency
  const smooth = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor)
  return ((1 - smooth) * frequency) / factor + smooth * frequency
}
