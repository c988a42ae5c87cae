import { ModelError, toErrorData } from '../errors.ts'
import type { Encoder, Sample } from '../ports.ts'
import type { VectorCache } from './vector-cache.ts'
import { checkVector } from './vectors.ts'

export type SampleEncoding = {
  readonly encoder: Encoder
  /** Put before every text that is encoded. */
  readonly prefix: string
  /** Where vectors are kept between runs. Without one every text is encoded. */
  readonly cache?: VectorCache | undefined
}

export type SampleVectors = {
  /** In the order asked for. */
  readonly samples: readonly Sample[]
  readonly from: 'cache' | 'encoder'
  /** Why the cache could not keep the vectors, which are as good as if it had. */
  readonly error?: string
}

/**
 * Samples with their vectors, from the cache where it has them all, else encoded together and kept.
 * @throws ModelError when the encoder gives too few or too many vectors, or one of another dimension or with a value that
 * is not finite: none of these are kept; what the encoder fails with.
 */
export async function vectorsOf(
  samples: readonly string[],
  { encoder, prefix, cache }: SampleEncoding,
): Promise<SampleVectors> {
  const { dimension } = encoder.facts
  const side = (vectors: Float32Array): readonly Sample[] =>
    samples.map((text, at) => ({ text, vector: vectors.subarray(at * dimension, (at + 1) * dimension) }))
  const origin = { encoder: encoder.facts, prefix, samples }
  const known = await cache?.get(origin)
  if (known !== undefined) return { samples: side(known), from: 'cache' }
  const together = new Float32Array(samples.length * dimension)
  for (const [at, vector] of (await encodeTexts(samples, { encoder, prefix })).entries()) {
    checkVector(vector, dimension, 'a sample')
    together.set(vector, at * dimension)
  }
  const found = { samples: side(together), from: 'encoder' } as const
  try {
    await cache?.set(origin, together)
    return found
  } catch (error) {
    return { ...found, error: toErrorData(error).message }
  }
}

/**
 * A vector for each text, behind the prefix.
 * @throws ModelError when the encoder gives too few or too many; what the encoder fails with.
 */
export async function encodeTexts(
  texts: readonly string[],
  { encoder, prefix }: Pick<SampleEncoding, 'encoder' | 'prefix'>,
): Promise<readonly Float32Array[]> {
  const vectors = await encoder.encode(texts.map(text => prefix + text))
  if (vectors.length === texts.length) return vectors
  throw new ModelError(`the encoder gave ${vectors.length} vectors for ${texts.length} texts`)
}
