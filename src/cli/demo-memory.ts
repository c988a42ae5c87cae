import { avro } from '../codec/avro.ts'
import { schemas } from '../schemas.ts'
import { memory } from '../transport/memory.ts'
import { deadLetters, type Play, type Stage } from './demo-stage.ts'
import { followWindows } from './demo-windows.ts'

/** The demo in one process: real bytes through the codec, and nothing to start. */
export async function memoryStage({ prompts, show }: Play): Promise<Stage> {
  const transport = memory({ codec: avro(), deadLetters })
  await transport.produce('prompts', schemas.prompt, prompts)
  transport.topics.end('prompts')
  const windows = followWindows(transport, prompts, deadLetters, show)
  return { transport, guard: play => play, ...windows, close: async () => {} }
}
