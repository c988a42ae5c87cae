import { ConfigError } from '../errors.ts'
import { openThread } from '../onnx/thread.ts'
import type { Encoder } from '../ports.ts'
import type { Vectors } from './sentence-encoder.ts'

export type OnnxEncoderOptions = {
  /** Threads inside one operator. By default one: the encoder works while the engine does, and is the smaller. */
  readonly threads?: number
}

/** What the encoder's thread is started with. */
export type EncoderData = { readonly directory: string; readonly threads: number }

/**
 * Opens a sentence-transformers directory of the BERT family in a thread of its own, so that encoding never blocks this
 * one. Its own pooling is read from `modules.json`; vectors are always of unit length. `onnx/model.onnx` is used when
 * there is one, else `model.safetensors`.
 * @throws ModelError when files are missing or damaged; UnsupportedModelError for what is not supported, by name.
 */
export async function onnxEncoder(directory: string, options: OnnxEncoderOptions = {}): Promise<Encoder> {
  const { threads = 1 } = options
  if (!Number.isInteger(threads) || threads < 1) {
    throw new ConfigError(`onnxEncoder: threads is ${threads}, expected a whole number above 0`)
  }
  const data: EncoderData = { directory, threads }
  const thread = await openThread<Encoder['facts'], readonly string[], Vectors>(
    './encoder-worker.ts',
    import.meta.url,
    data,
  )
  return {
    facts: thread.ready,
    async encode(texts) {
      if (texts.length === 0) return []
      const { data: values, dimension } = await thread.call(texts)
      return texts.map((_, index) => values.slice(index * dimension, (index + 1) * dimension))
    },
    close: () => thread.close(),
  }
}
