import { ConfigError } from '../errors.ts'

/** A broker and a registry that somebody found or started. */
export type Services = {
  readonly brokers: readonly string[]
  readonly registry: string
  stop(): Promise<void>
}

/** What is used of a cluster's administration. */
export type Admin = {
  listTopics(): Promise<string[]>
  createTopics(options: { waitForLeaders?: boolean; topics: NewTopic[] }): Promise<boolean>
  deleteTopics(options: { topics: string[] }): Promise<void>
}

type NewTopic = { topic: string; numPartitions?: number; replicationFactor?: number }

/** `infra/` as the demo needs it. */
export type Infra = {
  findServices(tell: (line: string) => void): Promise<Services | { readonly missing: string }>
  setUp(admin: Admin, registry: string, partitions: number): Promise<Made>
}

/** Topics and schemas that were made, and how to remove them. */
export type Made = {
  readonly topics: readonly string[]
  readonly subjects: readonly string[]
  remove(): Promise<void>
}

/**
 * `infra/` is no part of the library, which must not import it; the demo loads it as it loads a topology: from `infra/*.ts`
 * in a checkout, compiled when installed.
 */
export async function loadInfra(): Promise<Infra> {
  const path = import.meta.url.endsWith('.ts') ? '../../infra/demo.ts' : '../infra/demo.js'
  const found: unknown = await import(new URL(path, import.meta.url).href)
  if (!isInfra(found)) throw new ConfigError('infra/demo: findServices or setUp is not there, expected both')
  return found
}

/** What they take and return is compared in a test. */
function isInfra(found: unknown): found is Infra {
  if (typeof found !== 'object' || found === null) return false
  const parts: ReadonlyMap<string, unknown> = new Map(Object.entries(found))
  return ['findServices', 'setUp'].every(part => typeof parts.get(part) === 'function')
}
