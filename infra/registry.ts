import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { registryImage, startContainer } from './containers.ts'
import { eventually, freePort, missingJava, registryJar, startJava, temporaryFolder } from './java.ts'
import { climb, named, type Missing, type Tell } from './ladder.ts'

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

/** Where the registry's Confluent API is. */
const api = '/apis/ccompat/v7'

/**
 * A schema registry: the one that `SCHEMA_REGISTRY_URL` names, else Apicurio 3.0.9 in a container where an engine answers,
 * else on the local JVM; in memory, with BACKWARD compatibility as Confluent's has by default. One line tells which, and why.
 * Where none can be had, the reasons and what to install.
 */
export async function findRegistry(tell?: Tell): Promise<Registry | Missing> {
  return await climb<Registry>(
    { service: 'schema registry', variable: 'SCHEMA_REGISTRY_URL' },
    [byName, contained, onJvm],
    tell,
  )
}

const byName = named('SCHEMA_REGISTRY_URL', url => ({ url, stop: async () => {} }))

const contained = {
  name: `${registryImage} in a container`,
  async take() {
    const container = await startContainer({
      image: registryImage,
      port: 8080,
      environment: () => ({}),
      ready: { path: `${api}/subjects` },
    })
    if ('missing' in container) return container
    const url = `http://${container.host}:${container.port}${api}`
    await compatible(url)
    return { url, stop: () => container.stop() }
  },
}

const onJvm = {
  name: 'Apicurio Registry 3.0.9 on the local JVM',
  async take() {
    const reason = await missingJava()
    return reason === undefined ? await startRegistry() : { missing: reason }
  },
}

async function startRegistry(): Promise<Registry> {
  const jar = await registryJar()
  const folder = await temporaryFolder('lorastream-registry-')
  const port = await freePort()
  const flags = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto']
  const java = await startJava(
    [...flags, '-Dquarkus.http.host=127.0.0.1', `-Dquarkus.http.port=${port}`, '-jar', jar],
    join(folder, 'log'),
  )
  const url = `http://127.0.0.1:${port}${api}`
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
