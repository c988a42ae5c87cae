export { peftDirectory, type PeftDirectoryOptions } from './adapters/peft-directory.ts'
export { clusterFromEnvironment, registryAccess } from './cli/kafka-environment.ts'
export { avro } from './codec/avro.ts'
export { json } from './codec/json.ts'
export { registry, type RegistryOptions } from './codec/registry.ts'
export { compose } from './compose/compose.ts'
export { softmaxWeights } from './compose/softmax-weights.ts'
export { strategies } from './compose/strategies.ts'
export { defineConfig, env, type Config } from './config.ts'
export {
  AdapterError,
  ConfigError,
  fromErrorData,
  GoneError,
  LorastreamError,
  ModelError,
  PromptTooLongError,
  SchemaError,
  StageError,
  toErrorData,
  TransportError,
  UnknownAdapterError,
  UnsupportedModelError,
  type AnyLorastreamError,
  type ErrorCode,
  type ErrorData,
} from './errors.ts'
export type {
  Answered,
  ClosedBy,
  Completion,
  Composed,
  EngineFacts,
  Failed,
  Headers,
  Message,
  NamedAdapter,
  Origin,
  Output,
  Placed,
  PoolFacts,
  Prompt,
  Provenance,
  Receipt,
  Retrieved,
  StageName,
  Strategy,
  StrategyName,
  UsedAdapter,
  Window,
} from './events.ts'
export { linearModules, openModel } from './hf/model.ts'
export { infer } from './infer/infer.ts'
export { onnxEngine, type OnnxEngine, type OnnxEngineOptions } from './infer/onnx-engine.ts'
export type { Adapter, AdapterId, Digest, Hit, Lora, Mix, Part, Share } from './lora.ts'
export type {
  AdapterChange,
  AdapterSource,
  Batch,
  Codec,
  Compose,
  Composition,
  Encoder,
  Engine,
  HeldOut,
  PartitionStatus,
  Pool,
  Query,
  RawRecord,
  Retrieval,
  Retrying,
  Row,
  Sample,
  Schema,
  Scorer,
  Settled,
  Sink,
  Transport,
  TransportStatus,
  VectorIndex,
} from './ports.ts'
export { parsePrompt } from './prompt.ts'
export { publish, type PublishOptions } from './publish/publish.ts'
export { covariance } from './retrieve/covariance.ts'
export { flat } from './retrieve/flat-index.ts'
export { hnsw } from './retrieve/hnsw-index.ts'
export { hybrid } from './retrieve/hybrid.ts'
export { cosine, innerProduct } from './retrieve/linear-scorers.ts'
export { onnxEncoder, type OnnxEncoderOptions } from './retrieve/onnx-encoder.ts'
export { openPool, RETRIEVAL_PREFIX, type OpenPool, type PoolOptions } from './retrieve/pool.ts'
export { retrieve, type RetrieveOptions } from './retrieve/retrieve.ts'
export { vectorCache, type VectorCache } from './retrieve/vector-cache.ts'
export { schemas } from './schemas.ts'
export { defineTopology, run, type Resources, type RunOptions, type Topology } from './topology.ts'
export { jsonl, type JsonlOptions } from './transport/jsonl.ts'
export { kafka, type KafkaOptions } from './transport/kafka.ts'
export { memory, type MemoryOptions, type MemoryTransport } from './transport/memory.ts'
export { Topics, type NewRecord, type StoredRecord } from './transport/topics.ts'
export { version } from './version.ts'
export { window, type WindowOptions } from './window/window.ts'
