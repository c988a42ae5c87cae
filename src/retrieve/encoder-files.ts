import { basename, join, resolve } from 'node:path'
import { ModelError, UnsupportedModelError } from '../errors.ts'
import { isObject, parseJsonObject, shown, type Fail, type JsonObject } from '../hf/json.ts'
import { readWhole } from '../hf/weight-file.ts'
import type { PoolingMode } from './pooling.ts'

/** What a sentence-transformers directory says about its encoder. */
export type EncoderFiles = {
  /** Where the transformer's own files lie. */
  readonly directory: string
  readonly id: string
  readonly config: JsonObject
  readonly pooling: PoolingMode
  /** Tokens of a text at most, counting those that begin and end it; longer texts are cut. */
  readonly maxTokens: number
  readonly lowerCase: boolean
  /** The files that were read, in a fixed order. */
  readonly files: readonly string[]
}

/** These files have a few dozen lines. */
const MAX_JSON_BYTES = 1024 * 1024

/** Longer texts say no more about their task, and attention takes the square of their length. */
const MAX_TOKENS = 8192

/** The pooling options of sentence-transformers that are supported. */
const POOLINGS: Readonly<Record<string, PoolingMode>> = {
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_cls_token: 'cls',
  pooling_mode_max_tokens: 'max',
}

const fail: Fail = (message, options) => new ModelError(message, options)

/**
 * Reads `modules.json` and what it names: a Transformer, a Pooling and perhaps a Normalize.
 * @throws ModelError when files are missing or damaged; UnsupportedModelError for modules and poolings that are not
 * supported, by name.
 */
export async function readEncoderFiles(path: string): Promise<EncoderFiles> {
  const root = resolve(path)
  const modulesFile = join(root, 'modules.json')
  const modules = parseModules(modulesFile, await readWhole(modulesFile, MAX_JSON_BYTES, fail))
  const [transformer, pooling] = modules
  const kinds = modules.map(module => module.kind).join(', ')
  if (transformer === undefined || pooling === undefined || !/^Transformer, Pooling(, Normalize)?$/.test(kinds)) {
    throw new UnsupportedModelError(`${modulesFile}: modules are ${kinds}, expected Transformer, Pooling, Normalize`)
  }
  const directory = join(root, transformer.path)
  const configFile = join(directory, 'config.json')
  const sentenceFile = join(directory, 'sentence_bert_config.json')
  const poolingFile = join(root, pooling.path, 'config.json')
  const sentence = await readObject(sentenceFile, true)
  const config = await readObject(configFile)
  return {
    directory,
    id: basename(root),
    config,
    pooling: poolingOf(poolingFile, await readObject(poolingFile)),
    maxTokens: maxTokensOf(configFile, config, sentenceFile, sentence),
    lowerCase: sentence['do_lower_case'] === true,
    files: [modulesFile, poolingFile, sentenceFile, configFile, join(directory, 'tokenizer.json')],
  }
}

type Module = { readonly kind: string; readonly path: string }

/** The kind is the last part of the type, whose package differs between versions. */
function parseModules(file: string, bytes: Uint8Array<ArrayBuffer> | undefined): readonly Module[] {
  if (bytes === undefined) throw new ModelError(`${file}: not found, expected a sentence-transformers directory`)
  let list: unknown
  try {
    list = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new ModelError(`${file} is not JSON in UTF-8`, { cause })
  }
  if (!Array.isArray(list)) throw new ModelError(`${file} is ${shown(list)}, expected a list of modules`)
  return list.map((module: unknown) => {
    const { type, path } = isObject(module) ? module : {}
    if (typeof type !== 'string' || typeof path !== 'string' || !/^[\w.-]*$/.test(path) || path.includes('..')) {
      throw new ModelError(`${file}: a module is ${shown(module)}, expected a type, and a path within the directory`)
    }
    return { kind: shown(type.split('.').at(-1)), path }
  })
}

function poolingOf(file: string, config: JsonObject): PoolingMode {
  // Newer versions write the mode itself.
  const named = config['pooling_mode']
  const chosen =
    typeof named === 'string'
      ? [named]
      : Object.keys(config).filter(option => option.startsWith('pooling_mode_') && config[option] === true)
  const [option, another] = chosen
  const mode = Object.entries(POOLINGS).find(([known, short]) => known === option || short === option)?.[1]
  if (mode !== undefined && another === undefined) return mode
  throw new UnsupportedModelError(`${file}: pooling is ${shown(chosen.join(', '))}, expected mean, cls or max alone`)
}

function maxTokensOf(configFile: string, config: JsonObject, sentenceFile: string, sentence: JsonObject): number {
  const positions = config['max_position_embeddings']
  const limit = sentence['max_seq_length'] ?? positions
  if (!isLength(positions)) {
    throw new ModelError(
      `${configFile}: max_position_embeddings is ${shown(positions)}, expected a whole number above 2`,
    )
  }
  if (!isLength(limit)) {
    throw new ModelError(`${sentenceFile}: max_seq_length is ${shown(limit)}, expected a whole number above 2`)
  }
  return Math.min(limit, positions, MAX_TOKENS)
}

/** Two tokens begin and end a text, so fewer than three leave no room for it. */
function isLength(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 2
}

async function readObject(file: string, optional = false): Promise<JsonObject> {
  const bytes = await readWhole(file, MAX_JSON_BYTES, fail)
  if (bytes !== undefined) return parseJsonObject(file, bytes, fail)
  if (optional) return {}
  throw new ModelError(`${file}: not found, expected a sentence-transformers directory`)
}
