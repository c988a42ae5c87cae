import { text } from 'node:stream/consumers'
import { toErrorData } from '../../src/errors.ts'
import { onnxEngine } from '../../src/infer/onnx-engine.ts'
import type { EngineAnswers, EngineJob } from './engine-process.ts'

/** A process that answers batches: {@link answersOf} starts it with the environment that a driver must find. */
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `answersOf` writes it
const { path, options, batches } = JSON.parse(await text(process.stdin)) as EngineJob

let ticks = 0
const timer = setInterval(() => (ticks += 1), 10)
process.stdout.write(JSON.stringify({ ...(await answer()), ticks } satisfies EngineAnswers))
clearInterval(timer)

async function answer(): Promise<Pick<EngineAnswers, 'outputs' | 'error'>> {
  try {
    const engine = await onnxEngine(path, options)
    const outputs = []
    for (const batch of batches) outputs.push(await engine.run(batch))
    await engine.close()
    return { outputs }
  } catch (error) {
    return { error: toErrorData(error) }
  }
}
