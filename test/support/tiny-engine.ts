import { basename, join } from 'node:path'
import type { TestContext } from 'node:test'
import { openPeft } from '../../src/hf/peft.ts'
import { onnxEngine, type OnnxEngine, type OnnxEngineOptions } from '../../src/infer/onnx-engine.ts'
import type { Adapter, AdapterId, Lora } from '../../src/lora.ts'
import { golden } from './golden.ts'
import { temporaryFolder } from './peft-files.ts'

/** The small base model that the reference vectors are of. */
export const tinyLlama = join(golden, 'tiny-llama')

/** An engine on the small base, with a cache of its own, closed after the test. */
export async function tinyEngine(t: TestContext, options: OnnxEngineOptions = {}): Promise<OnnxEngine> {
  const engine = await onnxEngine(tinyLlama, { template: 'raw', cache: await temporaryFolder(t), ...options })
  t.after(() => engine.close())
  return engine
}

/** The adapter in a directory, as a pool would have admitted it. */
export async function admitted(directory: string): Promise<Adapter> {
  const { digest, rank } = await openPeft(directory)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a test's ids are what it says
  return { id: basename(directory) as AdapterId, digest, directory, rank }
}

/** An adapter of the reference vectors. */
export const goldenAdapter = (name: string): Promise<Adapter> => admitted(join(golden, 'adapters', name))

/** An adapter as it was trained. */
export const alone = (adapter: Adapter): Lora => [{ adapter, weight: 1 }]

/** Prompt tokens of the small base: `count` of them, others for other counts and steps. */
export const tinyTokens = (count: number, step: number): readonly number[] =>
  Array.from({ length: count }, (_, place) => 3 + ((place * step + 7 * count) % 250))
