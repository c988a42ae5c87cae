import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { ModelError, UnsupportedModelError } from '../errors.ts'
import { parseConfigJson } from './config-json.ts'
import { isObject, parseJsonObject, shown, type Fail, type JsonObject } from './json.ts'
import type { ModelConfig } from './model-config.ts'
import { readSafetensorsHeader, type TensorInfo } from './safetensors.ts'
import { readWhole } from './weight-file.ts'

/** Configs have some hundred keys. */
const MAX_CONFIG_BYTES = 1024 * 1024

/** An index has a line a tensor, of some ten thousand. */
const MAX_INDEX_BYTES = 16 * 1024 * 1024

/** The largest checkpoints come in some two hundred files. */
const MAX_FILES = 1024

const fail: Fail = (message, options) => new ModelError(message, options)

/**
 * `config.json` and `generation_config.json` of a Hugging Face directory.
 * @throws ModelError, UnsupportedModelError
 */
export async function readDirectoryConfig(directory: string): Promise<ModelConfig> {
  const file = join(directory, 'config.json')
  const generationFile = join(directory, 'generation_config.json')
  const config = await readJson(file, MAX_CONFIG_BYTES)
  if (config === null) throw new ModelError(`${file}: not found, expected a Hugging Face model directory`)
  return parseConfigJson(file, config, generationFile, await readJson(generationFile, MAX_CONFIG_BYTES))
}

/** A checkpoint's files, in name order, and where each tensor lies. */
export type Checkpoint = {
  readonly files: readonly string[]
  readonly tensors: ReadonlyMap<string, TensorInfo & { readonly file: string }>
}

/**
 * The tensors of a directory: of `model.safetensors`, else of the files that `model.safetensors.index.json` names, else
 * of every `.safetensors` file there.
 * @throws ModelError when a header is damaged, files and index disagree, or a tensor is there twice.
 */
export async function readCheckpoint(directory: string): Promise<Checkpoint> {
  const names = await readdir(directory)
  const single = 'model.safetensors'
  const indexFile = join(directory, 'model.safetensors.index.json')
  const index = names.includes(single) ? null : await readJson(indexFile, MAX_INDEX_BYTES)
  const places = index === null ? null : weightMap(indexFile, index)
  const own = names.filter(name => name.endsWith('.safetensors'))
  const used = names.includes(single) ? [single] : places === null ? own : [...new Set(places.values())]
  if (used.length === 0) {
    const pickled = names.find(name => name.endsWith('.bin'))
    if (pickled === undefined) throw new ModelError(`${directory}: no .safetensors file`)
    throw new UnsupportedModelError(`${join(directory, pickled)}: weights as pickle, expected .safetensors`)
  }
  if (used.length > MAX_FILES) throw new ModelError(`${directory}: ${used.length} files, expected at most ${MAX_FILES}`)

  const tensors = new Map<string, TensorInfo & { readonly file: string }>()
  const files = used.toSorted().map(name => join(directory, name))
  for (const file of files) {
    for (const [name, info] of (await readSafetensorsHeader(file, fail)).tensors) {
      const other = tensors.get(name)
      if (other !== undefined) throw new ModelError(`${file}: tensor "${shown(name)}" is in ${other.file} too`)
      tensors.set(name, { ...info, file })
    }
  }
  for (const [name, file] of places ?? []) {
    if (tensors.get(name)?.file === join(directory, file)) continue
    throw new ModelError(`${indexFile}: tensor "${shown(name)}" is not in ${file}`)
  }
  return { files, tensors }
}

/** The index's `weight_map`, whose files must be names in the index's own directory. */
function weightMap(file: string, index: JsonObject): ReadonlyMap<string, string> {
  const map = index['weight_map']
  if (!isObject(map)) throw new ModelError(`${file}: weight_map is ${shown(map)}, expected an object`)
  const places = new Map<string, string>()
  for (const [name, place] of Object.entries(map)) {
    if (typeof place !== 'string' || !isPlainName(place)) {
      throw new ModelError(
        `${file}: tensor "${shown(name)}" is in "${shown(place)}", expected a .safetensors file here`,
      )
    }
    places.set(name, place)
  }
  return places
}

function isPlainName(name: string): boolean {
  return name.endsWith('.safetensors') && basename(name) === name && !/[\\/\0]/.test(name)
}

async function readJson(file: string, most: number): Promise<JsonObject | null> {
  const bytes = await readWhole(file, most, fail)
  return bytes === undefined ? null : parseJsonObject(file, bytes, fail)
}
