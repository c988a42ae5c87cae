import { serveThread } from '../onnx/thread.ts'
import type { Encoder } from '../ports.ts'
import type { EncoderData } from './onnx-encoder.ts'
import { openSentenceEncoder, type Vectors } from './sentence-encoder.ts'

/** The encoder's thread: a run of its model blocks it, and nothing else. */
await serveThread<Encoder['facts'], readonly string[], Vectors>(async data => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `onnxEncoder` starts this thread, with this
  const { directory, threads } = data as EncoderData
  const encoder = await openSentenceEncoder(directory, threads)
  return {
    ready: encoder.facts,
    async call(texts) {
      const vectors = await encoder.encode(texts)
      return { response: vectors, transfer: [vectors.data.buffer] }
    },
    close: () => encoder.close(),
  }
})
