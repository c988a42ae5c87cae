import { join } from 'node:path'
import { UnsupportedModelError } from '../errors.ts'
import { openChatTemplate } from '../hf/chat-template.ts'
import type { ModelConfig } from '../hf/model-config.ts'
import { modelDigest, openModel } from '../hf/model.ts'
import { openTokenizer } from '../hf/tokenizer.ts'
import type { Digest } from '../lora.ts'
import type { EngineData } from './onnx-engine.ts'
import type { PromptEncoder } from './prompt-tokens.ts'
import { storeWeights } from './stored-weights.ts'
import { weightsIn, type WeightsOf } from './weights.ts'

/** An open base model: what its files say, and its weights ready for a session. */
export type BaseModel = {
  readonly id: string
  readonly digest: Digest
  readonly config: ModelConfig
  readonly weights: WeightsOf
  readonly weightFolder: string
  readonly prompts: PromptEncoder
}

/**
 * Reads a model's files, and converts its weights when the cache has none for them yet.
 * @throws ModelError, UnsupportedModelError, ConfigError when the cache cannot be written.
 */
export async function openBaseModel(
  data: EngineData,
  onProgress: (done: number, total: number) => void,
): Promise<BaseModel> {
  const model = await openModel(data.path)
  const { config } = model
  const tokenizer = openTokenizer(model.tokenizer)
  const chat = data.template === 'chat' ? openChatTemplate(model.tokenizer, tokenizer) : null
  if (data.template === 'chat' && chat === null) {
    throw new UnsupportedModelError(
      `${data.path}: has no chat template, so it takes prompts with the template "raw" only`,
    )
  }
  const digest = await modelDigest(model)
  const cache = join(data.cache, 'weights')
  const stored = await storeWeights(model, { precision: data.precision, cache, digest, onProgress })
  return {
    id: model.id,
    digest,
    config,
    weights: weightsIn(stored, config, data.device),
    weightFolder: stored.folder,
    prompts: { tokenizer, chat, config },
  }
}
