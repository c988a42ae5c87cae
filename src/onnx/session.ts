import { env, InferenceSession, Tensor } from 'onnxruntime-node'
import { ConfigError } from '../errors.ts'

/** Where a session computes. */
export type Device = 'cpu' | 'cuda' | 'webgpu'

export type SessionOptions = {
  readonly device: Device
  /** Threads inside one operator; ONNX Runtime's own choice (all cores) when absent. */
  readonly threads?: number
  /** The folder that external weights lie in; without it the graph must carry its weights. */
  readonly weightFolder?: string
  /** The name of this session in messages. */
  readonly name: string
}

/** What goes in and comes out: row-major tensors. */
export type TensorData =
  | { readonly type: 'float32'; readonly data: Float32Array; readonly dims: readonly number[] }
  | { readonly type: 'int32'; readonly data: Int32Array; readonly dims: readonly number[] }
  | { readonly type: 'int64'; readonly data: BigInt64Array; readonly dims: readonly number[] }
  | { readonly type: 'int16'; readonly data: Int16Array; readonly dims: readonly number[] }
  | { readonly type: 'bool'; readonly data: Uint8Array; readonly dims: readonly number[] }

/** An open ONNX Runtime session. `run` blocks its thread until it is done: use it in worker threads only. */
export type Session = {
  /** Names of what goes in and what comes out. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  run(feeds: Readonly<Record<string, TensorData>>): Promise<Readonly<Record<string, TensorData>>>
  close(): Promise<void>
}

/** The version of ONNX Runtime. */
export const runtimeVersion: string = env.versions.node ?? env.versions.common

/** ONNX Runtime's severity for fatal errors only: what goes wrong reaches the caller as an exception. */
const ONLY_FATAL = 4

/**
 * ONNX Runtime's arena keeps what the largest run took, and its Node binding has no way to shrink it. glibc's malloc gives
 * large blocks back at once when this variable says which are large; it reads it as the process starts. Runs then take
 * more processor time for the pages that they ask for anew (docs/devices.md), so it is the operator's choice.
 */
const mallocGivesBack = process.env['MALLOC_MMAP_THRESHOLD_'] !== undefined

/**
 * Opens a session on a model's bytes or file.
 * @throws ConfigError when the device cannot be used; nothing falls back to another device.
 */
export async function openSession(model: Uint8Array | string, options: SessionOptions): Promise<Session> {
  const { device, threads, weightFolder, name } = options
  const sessionOptions: InferenceSession.SessionOptions = {
    // One alone: of several, onnxruntime-common drops those that a platform lacks with a warning. What a device has no
    // kernels for ONNX Runtime puts on the CPU all the same.
    executionProviders: [device],
    logSeverityLevel: ONLY_FATAL,
    enableCpuMemArena: !mallocGivesBack,
    // A pattern is of one shape. Every window has another, and what is laid out for one takes room beside the others'.
    enableMemPattern: false,
    ...(threads !== undefined && { intraOpNumThreads: threads }),
    extra: {
      session: {
        use_device_allocator_for_initializers: '1',
        ...(weightFolder !== undefined && { model_external_initializers_file_folder_path: weightFolder }),
      },
    },
  }
  const session = await create(model, sessionOptions).catch((error: unknown) => {
    throw deviceError(error, device, name) ?? error
  })
  return {
    inputs: session.inputNames,
    outputs: session.outputNames,
    async run(feeds) {
      const tensors: Record<string, Tensor> = {}
      for (const [key, value] of Object.entries(feeds)) tensors[key] = new Tensor(value.type, value.data, value.dims)
      const results = await session.run(tensors)
      const outputs: Record<string, TensorData> = {}
      for (const [key, value] of Object.entries(results)) outputs[key] = tensorData(key, value)
      return outputs
    },
    close: () => session.release(),
  }
}

function create(model: Uint8Array | string, options: InferenceSession.SessionOptions): Promise<InferenceSession> {
  return typeof model === 'string' ? InferenceSession.create(model, options) : InferenceSession.create(model, options)
}

function tensorData(name: string, tensor: Tensor): TensorData {
  const { type, data, dims } = tensor
  if (type === 'float32' && data instanceof Float32Array) return { type, data, dims }
  if (type === 'int32' && data instanceof Int32Array) return { type, data, dims }
  if (type === 'int64' && data instanceof BigInt64Array) return { type, data, dims }
  throw new Error(`output ${name} has type ${type}, expected float32, int32 or int64`)
}

/** How ONNX Runtime says that a device cannot be had; any other error is one of the model or the run. */
const UNAVAILABLE = /backend not found|failed to load (shared )?library|CUDA failure|failed to get a WebGPU/i

const remedies: Readonly<Record<Exclude<Device, 'cpu'>, string>> = {
  cuda:
    "it needs Linux x64, an NVIDIA GPU with CUDA 12 and cuDNN 9, and ONNX Runtime's CUDA library, which is installed with: " +
    'node node_modules/onnxruntime-node/script/install.js --onnxruntime-node-install',
  webgpu:
    'it needs a GPU with its driver: Vulkan on Linux (and libvulkan.so.1), Metal on macOS, Direct3D 12 on Windows',
}

function deviceError(error: unknown, device: Device, name: string): ConfigError | undefined {
  const reason = error instanceof Error ? error.message : String(error)
  if (device === 'cpu' || !UNAVAILABLE.test(reason)) return undefined
  // ONNX Runtime's checks begin with their place in its source.
  const said = reason.replace(/^.* was false\. /s, '').trim()
  return new ConfigError(`device "${device}" cannot run ${name}: ${remedies[device]}. ONNX Runtime said: ${said}`, {
    cause: error,
  })
}
