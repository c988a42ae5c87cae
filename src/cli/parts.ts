import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { peftDirectory } from '../adapters/peft-directory.ts'
import type { Config } from '../config.ts'
import { ConfigError } from '../errors.ts'
import { linearModules, openModel } from '../hf/model.ts'
import { onnxEngine } from '../infer/onnx-engine.ts'
import { demoBase, demoEncoder, type DemoModel } from '../models/demo-models.ts'
import { isThere } from '../models/pull.ts'
import type { Engine, Pool, VectorIndex } from '../ports.ts'
import { onnxEncoder } from '../retrieve/onnx-encoder.ts'
import { openPool } from '../retrieve/pool.ts'
import { scorers } from '../retrieve/scorers.ts'
import { vectorCache } from '../retrieve/vector-cache.ts'
import { commandName } from './command-name.ts'
import { loadConfig } from './load-module.ts'
import type { PartChoice } from './options.ts'
import type { Terminal } from './terminal.ts'

/** The folder of adapters that comes with this package. */
export const shippedAdapters = fileURLToPath(new URL('../../adapters', import.meta.url))

const models = 'models'

/** Where the parts come from: a config, or paths of which none is a default that is not there. */
export type Parts = { readonly config?: Config; readonly paths?: Paths; readonly open: Opener }

export type Paths = { readonly model: string; readonly encoder: string; readonly adapters: string }

/** What a choice says of where its parts are. */
type PathChoice = Pick<PartChoice, 'config' | 'model' | 'encoder' | 'adapters'>

/** Opens a part; whoever asked closes it. */
export type Opener = { pool(): Promise<Pool>; engine(): Promise<Engine> }

/** Where the demo's models belong. */
export function defaultPaths(choice: PathChoice): Paths {
  const {
    model = join(models, demoBase.directory, demoBase.files.at(-1)?.path ?? ''),
    encoder = join(models, demoEncoder.directory),
    adapters = 'adapters',
  } = choice
  return { model, encoder, adapters }
}

/** The demo's models that the choice relies on and that are not there. */
export async function missingModels({ config, model, encoder }: PathChoice): Promise<readonly DemoModel[]> {
  if (config !== undefined) return []
  const wanted = [...(model === undefined ? [demoBase] : []), ...(encoder === undefined ? [demoEncoder] : [])]
  const there = await Promise.all(wanted.map(one => isThere(one, models)))
  return wanted.filter((_, index) => there[index] === false)
}

/** Throws ConfigError for a model of the demo's that the choice relies on and that is not there. */
export async function expectModels(choice: PathChoice): Promise<void> {
  const [missing] = await missingModels(choice)
  if (missing !== undefined)
    throw new ConfigError(
      `${join(models, missing.directory)}: ${missing.name} is not there; "${commandName} models pull" fetches it, --${missing === demoBase ? 'model' : 'encoder'} names another`,
    )
}

/** Throws ConfigError for a config that cannot be loaded and for a default that is not there. */
export async function chooseParts(choice: PartChoice, terminal: Pick<Terminal, 'progress'>): Promise<Parts> {
  if (choice.config !== undefined) {
    const config = await loadConfig(choice.config)
    return { config, open: { pool: async () => await config.pool(), engine: async () => await config.engine() } }
  }
  await expectModels(choice)
  const paths = defaultPaths(choice)
  if (choice.adapters === undefined && !(await isDirectory(paths.adapters)))
    throw new ConfigError(
      `${paths.adapters}: no such folder; --adapters names one, and ${shippedAdapters} has the demo's adapters`,
    )
  return { paths, open: { pool: () => poolOf(choice, paths), engine: () => engineOf(choice, paths, terminal) } }
}

async function poolOf(choice: PartChoice, { model, encoder, adapters }: Paths): Promise<Pool> {
  // First, so that nobody misses it when the encoder cannot be opened.
  const index = await openIndex(choice.index)
  const modules = async () => linearModules((await openModel(model)).config)
  return await openPool({
    source: peftDirectory(adapters, { modules }),
    encoder: onnxEncoder(encoder),
    cache: vectorCache(join(choice.cache, 'vectors')),
    scorer: scorers[choice.scorer]({ index }),
  })
}

/** The index of that name; none where every scorer's own is meant. */
export async function openIndex(name: PartChoice['index']): Promise<VectorIndex | undefined> {
  // Loaded on use: hnswlib is native, and exact search does without.
  return name === 'hnsw' ? (await import('../retrieve/hnsw-index.ts')).hnsw() : undefined
}

async function engineOf(choice: PartChoice, { model }: Paths, terminal: Pick<Terminal, 'progress'>): Promise<Engine> {
  const { device, precision, template, threads, cache } = choice
  return await onnxEngine(model, {
    device,
    template,
    cache,
    ...(precision !== undefined && { precision }),
    ...(threads !== undefined && { threads }),
    onProgress: (done, total) =>
      terminal.progress(done < total ? `converting ${model}: ${Math.round((100 * done) / total)} %` : ''),
  })
}

async function isDirectory(path: string): Promise<boolean> {
  return await stat(path).then(
    found => found.isDirectory(),
    () => false,
  )
}
