import { ConfigError } from './errors.ts'
import type { Resources } from './topology.ts'

/** A deployment: how to open each part. A command opens only the parts that it needs. */
export type Config = { readonly [Part in keyof Resources]: () => Resources[Part] | Promise<Resources[Part]> }

/** A config, its parts typed. */
export function defineConfig(config: Config): Config {
  return config
}

/** An environment variable, or `fallback` where it is unset or empty; without one, ConfigError that names it. */
export function env(name: string, fallback?: string): string {
  const value = process.env[name] ?? ''
  if (value !== '') return value
  if (fallback === undefined) throw new ConfigError(`environment variable ${name} is not set, expected a value`)
  return fallback
}
