import type { ErrorData } from '../errors.ts'
import type { Output } from '../events.ts'
import { serveThread } from '../onnx/thread.ts'
import type { Engine } from '../ports.ts'
import { openBaseModel } from './base-model.ts'
import { openGenerator } from './generator.ts'
import type { EngineData, EngineRequest, Progress, Ran } from './onnx-engine.ts'

/** The engine's thread: a run of its session blocks it, and nothing else. */
await serveThread<Engine['facts'], EngineRequest, readonly (Output | Float32Array<ArrayBuffer> | ErrorData)[]>(
  async (given, notify) => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `onnxEngine` starts this thread, with this
    const data = given as EngineData
    const base = await openBaseModel(data, (done, total) => notify({ done, total } satisfies Progress))
    const generator = await openGenerator(base, data, sessionMs => notify({ sessionMs } satisfies Ran))
    return {
      ready: generator.facts,
      async call({ task, batch }) {
        if (task === 'run') return { response: await generator.run(batch) }
        const response = await generator.score(batch)
        return {
          response,
          transfer: response.flatMap(logits => ('code' in logits ? [] : [logits.buffer])),
        }
      },
      close: () => generator.close(),
    }
  },
)
