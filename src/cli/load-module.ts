import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Config } from '../config.ts'
import { ConfigError, LorastreamError } from '../errors.ts'
import type { Topology } from '../topology.ts'

/** Throws ConfigError that names the file when it cannot be loaded or is no config. */
export async function loadConfig(path: string): Promise<Config> {
  if (!existsSync(path)) throw new ConfigError(`${path}: no such config file`)
  const found = await loadDefault(pathToFileURL(resolve(path)), path)
  if (!isConfig(found))
    throw new ConfigError(
      `${path}: the default export is no config, expected defineConfig({ transport, pool, engine })`,
    )
  return found
}

/** Throws ConfigError that names the file when it cannot be loaded or is no topology. */
export async function loadTopology(path: string): Promise<Topology> {
  if (!existsSync(path)) throw new ConfigError(`${path}: no such topology file`)
  const found = await loadDefault(pathToFileURL(resolve(path)), path)
  if (!isTopology(found))
    throw new ConfigError(`${path}: the default export is no topology, expected defineTopology(…)`)
  return found
}

/** A topology that ships with this package: `topologies/NAME.ts` in a checkout, compiled when installed. */
export async function shippedTopology(name: string): Promise<Topology> {
  const path = import.meta.url.endsWith('.ts') ? `../../topologies/${name}.ts` : `../topologies/${name}.js`
  const found = await loadDefault(new URL(path, import.meta.url), `topologies/${name}`)
  if (!isTopology(found)) throw new ConfigError(`topologies/${name}: the default export is no topology`)
  return found
}

async function loadDefault(url: URL, path: string): Promise<unknown> {
  try {
    const loaded: unknown = await import(url.href)
    return typeof loaded === 'object' && loaded !== null && 'default' in loaded ? loaded.default : undefined
  } catch (error) {
    // A config may check its own environment.
    if (error instanceof LorastreamError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    const unknown = reason.includes('Unknown file extension')
    throw new ConfigError(
      unknown
        ? `${path}: this Node loads no TypeScript, expected Node 22.18 or later, or a .js file`
        : `${path}: cannot be loaded: ${reason}`,
      { cause: error },
    )
  }
}

function isConfig(found: unknown): found is Config {
  if (typeof found !== 'object' || found === null) return false
  const parts: ReadonlyMap<string, unknown> = new Map(Object.entries(found))
  return ['transport', 'pool', 'engine'].every(part => typeof parts.get(part) === 'function')
}

/** What it takes and returns shows only when it runs. */
function isTopology(found: unknown): found is Topology {
  return typeof found === 'function'
}
