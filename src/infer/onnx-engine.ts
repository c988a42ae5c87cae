import { resolve } from 'node:path'
import { inspect } from 'node:util'
import { ConfigError, type ErrorData } from '../errors.ts'
import type { Output } from '../events.ts'
import type { Device } from '../onnx/session.ts'
import { openThread } from '../onnx/thread.ts'
import type { Batch, Engine } from '../ports.ts'
import type { Template } from './prompt-tokens.ts'
import type { Precision } from './stored-weights.ts'

export type OnnxEngineOptions = {
  /** Where the model computes; nothing falls back to another device. Default `cpu`. */
  readonly device?: Device
  /** Default `int8` on the CPU, `float32` elsewhere; WebGPU has `float32` alone. */
  readonly precision?: Precision
  /** Default `chat`: the model's own chat template. */
  readonly template?: Template
  /** Threads inside one operator; by default one a core. */
  readonly threads?: number
  /** Folder for converted weights. Default `.cache/lorastream`. */
  readonly cache?: string
  /** Bytes of LoRAs that stay in memory between windows; what one window needs always fits. Default 128 MiB. */
  readonly loraBytes?: number
  /** Bytes of working memory that rows share one run in; a window that needs more is run in parts. Default 512 MiB. */
  readonly runBytes?: number
  /** Told of each tensor while weights are converted, which happens once a model. */
  readonly onProgress?: (done: number, total: number) => void
  /** Told after every run how long ONNX Runtime took for it, in ms: to measure what is not the model. */
  readonly onRun?: (sessionMs: number) => void
}

/** What the engine's thread is started with. */
export type EngineData = {
  readonly path: string
  readonly device: Device
  readonly precision: Precision
  readonly template: Template
  readonly threads: number | undefined
  readonly cache: string
  readonly loraBytes: number
  readonly runBytes: number
}

export type EngineRequest = { readonly task: 'run' | 'score'; readonly batch: Batch }

export type OnnxEngine = Engine & {
  /** Logits of every position of each prompt, float32 `[tokens, vocabulary]`: to measure, and to compare with other implementations. */
  score(batch: Batch): Promise<readonly (Float32Array | ErrorData)[]>
}

const MIB = 1024 * 1024

/**
 * Opens a base model, a Hugging Face directory or a `.gguf` file, in a thread of its own: `run` answers a window with
 * one forward pass and never blocks this thread.
 * @throws ModelError, UnsupportedModelError for what its files hold; ConfigError for options and devices that cannot work.
 */
export async function onnxEngine(path: string, options: OnnxEngineOptions = {}): Promise<OnnxEngine> {
  const { device = 'cpu', template = 'chat', threads, cache = '.cache/lorastream' } = options
  const { precision = device === 'cpu' ? 'int8' : 'float32', loraBytes = 128 * MIB, runBytes = 512 * MIB } = options
  // A configuration may be JavaScript, whose words nobody has checked.
  for (const [name, value, known] of [
    ['device', device, ['cpu', 'cuda', 'webgpu']],
    ['precision', precision, ['int8', 'float32']],
    ['template', template, ['chat', 'raw']],
  ] as const) {
    if (!known.some(one => one === value))
      throw new ConfigError(`onnxEngine: ${name} is ${inspect(value)}, expected ${known.join(', ')}`)
  }
  if (threads !== undefined && (!Number.isInteger(threads) || threads < 1)) {
    throw new ConfigError(`onnxEngine: threads is ${threads}, expected a whole number above 0`)
  }
  if (device === 'webgpu' && precision === 'int8') {
    // MatMulNBits rounds activations otherwise there: near ties another token wins.
    throw new ConfigError(
      'onnxEngine: precision "int8" on device "webgpu" gives other tokens than on the CPU, expected "float32"',
    )
  }
  for (const [name, bytes] of Object.entries({ loraBytes, runBytes })) {
    if (!(bytes >= 0)) throw new ConfigError(`onnxEngine: ${name} is ${bytes}, expected a number of bytes`)
  }
  const data: EngineData = {
    path: resolve(path),
    device,
    precision,
    template,
    threads,
    cache: resolve(cache),
    loraBytes,
    runBytes,
  }
  const thread = await openThread<Engine['facts'], EngineRequest, readonly (Output | Float32Array | ErrorData)[]>(
    './engine-worker.ts',
    import.meta.url,
    data,
    notice => {
      if (isProgress(notice)) options.onProgress?.(notice.done, notice.total)
      if (isRan(notice)) options.onRun?.(notice.sessionMs)
    },
  )
  return {
    facts: thread.ready,
    async run(batch) {
      const results = await thread.call({ task: 'run', batch })
      return results.map(result => {
        if (result instanceof Float32Array) throw new Error('a run answers with outputs')
        return result
      })
    },
    async score(batch) {
      const results = await thread.call({ task: 'score', batch })
      return results.map(result => {
        if ('text' in result) throw new Error('scoring answers with logits')
        return result
      })
    },
    close: () => thread.close(),
  }
}

export type Progress = { readonly done: number; readonly total: number }

export type Ran = { readonly sessionMs: number }

function isProgress(notice: unknown): notice is Progress {
  return typeof notice === 'object' && notice !== null && 'done' in notice && 'total' in notice
}

function isRan(notice: unknown): notice is Ran {
  return typeof notice === 'object' && notice !== null && 'sessionMs' in notice
}
