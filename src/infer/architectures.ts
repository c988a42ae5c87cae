import type { ModelConfig } from '../hf/model-config.ts'
import type { Value } from '../onnx/graph.ts'
import { llama } from './architectures/llama.ts'
import type { Layers } from './layers.ts'

/** Tokens `[b, t]` to the hidden states `[b, t, hidden]` that the head reads. */
export type Architecture = (layers: Layers, config: ModelConfig, tokens: Value) => Value

/** To add a family: write its forward pass, name it here, and let hf/model-config.ts read its configuration. */
export const architectures: Readonly<Record<ModelConfig['architecture'], Architecture>> = { llama, qwen2: llama }
