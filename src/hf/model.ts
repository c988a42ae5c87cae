import { createHash } from 'node:crypto'
import { realpath, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { ModelError, UnsupportedModelError } from '../errors.ts'
import type { Digest } from '../lora.ts'
import { widenQ4_1, widenQ8_0, type BlockDtype } from './gguf-blocks.ts'
import { ggufConfig, ggufTensors } from './gguf-model.ts'
import { ggufTokenizer } from './gguf-tokenizer.ts'
import { readGguf } from './gguf.ts'
import { shown, type Fail } from './json.ts'
import type { ModelConfig } from './model-config.ts'
import { readCheckpoint, readDirectoryConfig } from './model-directory.ts'
import { isFloatDtype, readTensor, toFloat32 } from './safetensors.ts'
import { readTokenizerFiles, type TokenizerFiles } from './tokenizer-files.ts'
import { eachPiece, withFile } from './weight-file.ts'

/** A base model on disk: checked, but none of its weights read. */
export type Model = {
  /** The name of its directory or file. */
  readonly id: string
  /** Absolute. */
  readonly path: string
  readonly format: 'safetensors' | 'gguf'
  readonly config: ModelConfig
  /** Exactly the weights that the config demands, by their Hugging Face names; a tied model has no `lm_head.weight`. */
  readonly tensors: ReadonlyMap<string, TensorRef>
  /** What its digest covers, in this order; absolute. */
  readonly files: readonly string[]
  readonly tokenizer: TokenizerFiles
}

/** Where a weight lies. */
export type TensorRef = {
  readonly name: string
  readonly dtype: BlockDtype
  /** Row-major: a linear is `[out, in]`. */
  readonly shape: readonly number[]
  /** Absolute, links resolved. */
  readonly file: string
  /** Bytes from the file's start. */
  readonly offset: number
  /** Bytes. */
  readonly length: number
  /**
   * In a GGUF file of the llama family the rows of q and k are interleaved: row h·d + j·d/2 + i of the weight (d =
   * `headDim`, j of 0 and 1, i < d/2) is row h·d + 2i + j of the file.
   */
  readonly rows?: { readonly headDim: number }
}

/** A linear that a LoRA may add to. */
export type LinearModule = { readonly in: number; readonly out: number }

/** Tensors that old checkpoints carry and that are computed here. */
const COMPUTED = /\.rotary_emb\.inv_freq$/

const fail: Fail = (message, options) => new ModelError(message, options)

/**
 * Opens a Hugging Face directory or a `.gguf` file: reads the headers and checks that the tensors are those which the
 * config demands.
 * @throws ModelError when files are damaged, contradict each other, or lack a tensor.
 * @throws UnsupportedModelError for a kind of model that this version does not run.
 */
export async function openModel(path: string): Promise<Model> {
  const absolute = resolve(path)
  const found = await stat(absolute).catch((cause: unknown) => {
    throw new ModelError(`${path}: no such model directory or file`, { cause })
  })
  if (found.isDirectory()) return await openDirectory(absolute)
  if (absolute.endsWith('.gguf')) return await openGguf(absolute)
  throw new UnsupportedModelError(`${path}: expected a Hugging Face directory or a .gguf file`)
}

async function openDirectory(path: string): Promise<Model> {
  const config = await readDirectoryConfig(path)
  const { files, tensors } = await readCheckpoint(path)
  const refs: TensorRef[] = []
  for (const [name, { dtype, file, ...info }] of tensors) {
    if (COMPUTED.test(name)) continue
    if (!isFloatDtype(dtype)) {
      throw new UnsupportedModelError(`${file}: tensor "${shown(name)}" has dtype ${dtype}, expected F32, F16 or BF16`)
    }
    refs.push({ ...info, name, dtype, file: await realpath(file) })
  }
  return {
    id: basename(path),
    path,
    format: 'safetensors',
    config,
    tensors: checkTensors(path, config, refs),
    files: [join(path, 'config.json'), ...files],
    tokenizer: await readTokenizerFiles(path),
  }
}

async function openGguf(path: string): Promise<Model> {
  const gguf = await readGguf(path)
  const config = ggufConfig(gguf)
  const file = await realpath(path)
  const refs = [...ggufTensors(gguf)].map(([name, { format, shape, offset, length, interleaved }]) => {
    const rows = interleaved ? { rows: { headDim: config.headDim } } : {}
    return { name, dtype: format.dtype, shape, file, offset, length, ...rows }
  })
  const tensors = checkTensors(path, config, refs)
  return { id: basename(path), path, format: 'gguf', config, tensors, files: [path], tokenizer: ggufTokenizer(gguf) }
}

/**
 * The seven linears of every layer by their names in the checkpoint, such as `model.layers.0.self_attn.q_proj`.
 */
export function linearModules(config: ModelConfig): ReadonlyMap<string, LinearModule> {
  const { layers, hidden, intermediate, heads, kvHeads, headDim } = config
  const modules = new Map<string, LinearModule>()
  for (let layer = 0; layer < layers; layer++) {
    const attention = `model.layers.${layer}.self_attn`
    const mlp = `model.layers.${layer}.mlp`
    modules.set(`${attention}.q_proj`, { in: hidden, out: heads * headDim })
    modules.set(`${attention}.k_proj`, { in: hidden, out: kvHeads * headDim })
    modules.set(`${attention}.v_proj`, { in: hidden, out: kvHeads * headDim })
    modules.set(`${attention}.o_proj`, { in: heads * headDim, out: hidden })
    modules.set(`${mlp}.gate_proj`, { in: hidden, out: intermediate })
    modules.set(`${mlp}.up_proj`, { in: hidden, out: intermediate })
    modules.set(`${mlp}.down_proj`, { in: intermediate, out: hidden })
  }
  return modules
}

/** The shape of every weight that a model of this config has. */
function weightShapes(config: ModelConfig): ReadonlyMap<string, readonly number[]> {
  const { layers, hidden, vocab, tied, qkvBias, outputBias, mlpBias } = config
  const shapes = new Map<string, readonly number[]>([
    ['model.embed_tokens.weight', [vocab, hidden]],
    ['model.norm.weight', [hidden]],
  ])
  if (!tied) shapes.set('lm_head.weight', [vocab, hidden])
  for (let layer = 0; layer < layers; layer++) {
    shapes.set(`model.layers.${layer}.input_layernorm.weight`, [hidden])
    shapes.set(`model.layers.${layer}.post_attention_layernorm.weight`, [hidden])
  }
  for (const [module, linear] of linearModules(config)) {
    shapes.set(`${module}.weight`, [linear.out, linear.in])
    const biased = module.includes('.mlp.') ? mlpBias : module.endsWith('o_proj') ? outputBias : qkvBias
    if (biased) shapes.set(`${module}.bias`, [linear.out])
  }
  return shapes
}

function checkTensors(path: string, config: ModelConfig, refs: readonly TensorRef[]): ReadonlyMap<string, TensorRef> {
  const shapes = weightShapes(config)
  const tensors = new Map<string, TensorRef>()
  for (const ref of refs) {
    const shape = shapes.get(ref.name)
    // Some tied checkpoints carry the embedding a second time.
    if (shape === undefined && config.tied && ref.name === 'lm_head.weight') continue
    if (shape === undefined)
      throw new ModelError(`${ref.file}: tensor "${shown(ref.name)}" is none that the config knows`)
    if (shape.join() !== ref.shape.join()) {
      const found = `[${ref.shape.join(', ')}]`
      throw new ModelError(`${ref.file}: tensor "${ref.name}" has shape ${found}, expected [${shape.join(', ')}]`)
    }
    tensors.set(ref.name, ref)
  }
  for (const name of shapes.keys()) {
    if (!tensors.has(name)) throw new ModelError(`${path}: tensor "${name}" is missing`)
  }
  return tensors
}

/**
 * A weight as float32, row-major and in Hugging Face's order, whatever it is stored as.
 * @throws ModelError when the file cannot be read any more.
 */
export async function readFloat32(ref: TensorRef): Promise<Float32Array> {
  const values = widen(await readTensor(ref.file, ref, fail), ref.dtype)
  return ref.rows === undefined ? values : ordered(values, values.length / (ref.shape[0] ?? 1), ref.rows.headDim)
}

function widen(bytes: Uint8Array<ArrayBuffer>, dtype: BlockDtype): Float32Array {
  if (dtype === 'Q4_1') return widenQ4_1(bytes)
  return dtype === 'Q8_0' ? widenQ8_0(bytes) : toFloat32(bytes, dtype)
}

function ordered(values: Float32Array, columns: number, headDim: number): Float32Array {
  const out = new Float32Array(values.length)
  const half = headDim / 2
  for (let row = 0; row * columns < values.length; row++) {
    const head = row - (row % headDim)
    const source = head + 2 * (row % half) + Math.floor((row % headDim) / half)
    out.set(values.subarray(source * columns, (source + 1) * columns), row * columns)
  }
  return out
}

/**
 * sha256 over the bytes of {@link Model.files}: the GGUF file, or `config.json` and then every weight file in name
 * order. Reads them all, a piece at a time.
 * @throws ModelError when a file cannot be read.
 */
export async function modelDigest(model: Model): Promise<Digest> {
  const hash = createHash('sha256')
  for (const file of model.files) {
    await withFile(file, fail, async (open, size) => {
      await eachPiece(open, file, size, fail, piece => hash.update(piece))
    })
  }
  return `sha256:${hash.digest('hex')}`
}
