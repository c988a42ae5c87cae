import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually, freePort, missingJava, registryJar, startJava } from './java.ts'

/** Quarkus takes nine seconds on an idle machine. */
const START_TIMEOUT_MS = 90_000

/** A schema registry to test against, Confluent's API. */
export type Registry = {
  readonly url: string
  /** Of the registry's process, where it is ours: for faults. */
  readonly pid?: number
  /** Ends a registry that was started here, and all that it held. */
  stop(): Promise<void>
}

/**
 * A schema registry: the one that `SCHEMA_REGISTRY_URL` names, else Apicurio 3.0.9 on the local JVM, in memory, with
 * BACKWARD compatibility as Confluent's has by default. Where neither can be had, the reason.
 */
export async function findRegistry(): Promise<Registry | { readonly missing: string }> {
  const named = process.env['SCHEMA_REGISTRY_URL'] ?? ''
  if (named !== '') return { url: named, stop: async () => {} }
  const reason = await missingJava()
  if (reason !== undefined) return { missing: `SCHEMA_REGISTRY_URL is not set, and ${reason}` }
  return await startRegistry()
}

async function startRegistry(): Promise<Registry> {
  const jar = await registryJar()
  const folder = await mkdtemp(join(tmpdir(), 'lorastream-registry-'))
  const port = await freePort()
  const flags = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto']
  const java = await startJava(
    [...flags, '-Dquarkus.http.host=127.0.0.1', `-Dquarkus.http.port=${port}`, '-jar', jar],
    join(folder, 'log'),
  )
  const url = `http://127.0.0.1:${port}/apis/ccompat/v7`
  const stop = async (): Promise<void> => {
    await java.kill()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await eventually(START_TIMEOUT_MS, () => compatible(url))
  } catch (error) {
    await stop()
    throw error
  }
  return { url, pid: java.pid, stop }
}

/** Apicurio checks nothing unless it is told to. */
async function compatible(url: string): Promise<void> {
  const { ok, status } = await fetch(`${url}/config`, {
    method: 'PUT',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: '{"compatibility":"BACKWARD"}',
  })
  if (!ok) throw new Error(`${url}/config answers ${status}`)
}
