import { link, mkdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { idOf } from '../../adapters/examine.ts'
import { SAMPLES_FILE } from '../../adapters/samples.ts'
import { ConfigError } from '../../errors.ts'
import { CONFIG_FILE, openPeft, WEIGHTS_FILE, type BaseModules } from '../../hf/peft.ts'
import type { Adapter } from '../../lora.ts'
import { random } from './random.ts'

export type SyntheticAdapters = {
  readonly count: number
  readonly rank: number
  /** Last names of modules, `q_proj`. */
  readonly targets: readonly string[]
  readonly modules: BaseModules
  /** Files of weights to write; adapters after these have hard links to them, and a config of their own. By default `count`. */
  readonly files?: number
  /** What an adapter's `samples.jsonl` holds. By default it has none. */
  readonly samples?: (index: number) => readonly string[]
}

/** A LoRA's output is small against its module's, as it is after training. */
const A_RANGE = 0.05
const B_RANGE = 0.01

/**
 * Writes PEFT directories of random weights into `folder`, the same on every machine, and answers with their paths: real
 * files, so that they are read, checked and digested like anybody's. Each has a digest of its own.
 * @throws ConfigError for a target that the base has not.
 */
export async function writeSyntheticAdapters(
  folder: string,
  { count, rank, targets, modules, files = count, samples }: SyntheticAdapters,
): Promise<readonly string[]> {
  const known = new Set([...modules.keys()].map(lastName))
  const unknown = targets.find(target => !known.has(target))
  if (unknown !== undefined)
    throw new ConfigError(`--targets: the base has no ${unknown}, expected some of ${[...known].join(', ')}`)
  const directories = Array.from({ length: count }, (_, index) =>
    join(folder, `synthetic-${String(index).padStart(5, '0')}`),
  )
  for (const [index, directory] of directories.entries()) {
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, CONFIG_FILE), JSON.stringify(configOf(index, rank, targets)))
    const path = join(directory, WEIGHTS_FILE)
    if (index < files) await writeFile(path, weightsOf(index, rank, targets, modules))
    else await link(join(directories[index % files] ?? '', WEIGHTS_FILE), path)
    if (samples === undefined) continue
    const lines = samples(index).map(text => `${JSON.stringify({ text })}\n`)
    await writeFile(join(directory, SAMPLES_FILE), lines.join(''))
  }
  return directories
}

/** A directory as the pool admits it. Throws AdapterError. */
export async function openSyntheticAdapter(directory: string, modules: BaseModules): Promise<Adapter> {
  const { digest, rank } = await openPeft(directory, modules)
  return { id: idOf(basename(directory)), digest, directory, rank }
}

function configOf(index: number, rank: number, targets: readonly string[]): Readonly<Record<string, unknown>> {
  // Adapters that share their weights differ in this alone, which changes their digests and not what they compute.
  const revision = String(index)
  return { peft_type: 'LORA', r: rank, lora_alpha: 2 * rank, target_modules: targets, bias: 'none', revision }
}

/** The bytes of a safetensors file: eight of the header's length, the header, the values. */
function weightsOf(seed: number, rank: number, targets: readonly string[], modules: BaseModules): Uint8Array {
  const next = random(seed)
  const header: Record<string, unknown> = {}
  const values: Float32Array[] = []
  let offset = 0
  const put = (name: string, shape: readonly [number, number], range: number): void => {
    const data = Float32Array.from({ length: shape[0] * shape[1] }, () => (2 * next() - 1) * range)
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + data.byteLength] }
    offset += data.byteLength
    values.push(data)
  }
  for (const [module, { in: inSize, out }] of modules) {
    if (!targets.includes(lastName(module))) continue
    put(`base_model.model.${module}.lora_A.weight`, [rank, inSize], A_RANGE)
    put(`base_model.model.${module}.lora_B.weight`, [out, rank], B_RANGE)
  }
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, ...values.map(data => new Uint8Array(data.buffer))])
}

function lastName(module: string): string {
  return module.slice(module.lastIndexOf('.') + 1)
}
