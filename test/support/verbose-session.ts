import { InferenceSession } from 'onnxruntime-node'
import { text } from 'node:stream/consumers'
import { openBaseModel } from '../../src/infer/base-model.ts'
import { generationGraph } from '../../src/infer/generation.ts'
import { KINDS } from '../../src/infer/lora-slots.ts'
import type { EngineData } from '../../src/infer/onnx-engine.ts'
import { modelBytes } from '../../src/onnx/proto.ts'

/** A process that opens the generation graph as verbosely as ONNX Runtime can: its log says which device has which node. */
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the test writes it
const data = JSON.parse(await text(process.stdin)) as EngineData
const base = await openBaseModel(data, () => undefined)
const bytes = modelBytes(generationGraph(base.config, base.weights, KINDS, data.device), { producerVersion: '0' })
const session = await InferenceSession.create(bytes, {
  executionProviders: [data.device],
  logSeverityLevel: 0,
  logVerbosityLevel: 1,
  extra: { session: { model_external_initializers_file_folder_path: base.weightFolder } },
})
await session.release()
