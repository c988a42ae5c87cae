import type { GenericContainer, StartedTestContainer, WaitStrategy } from 'testcontainers'
import { freePort } from './java.ts'
import type { Missing } from './ladder.ts'

/** Images are pulled on first use, over whatever line there is. */
const START_TIMEOUT_MS = 300_000

/** The same versions as on the local JVM. */
export const kafkaImage = 'apache/kafka:4.4.0'
export const registryImage = 'apicurio/apicurio-registry:3.0.9'

/** A service in a container; Testcontainers' own reaper ends it too, should this process die. */
export type Container = {
  readonly host: string
  readonly port: number
  stop(): Promise<void>
}

type Plan = {
  readonly image: string
  /** Inside of the container; outside it is a free one. */
  readonly port: number
  /** Where clients find it, told before it starts: a broker must know. */
  readonly environment: (host: string, port: number) => Readonly<Record<string, string>>
  /** Until it serves. */
  readonly ready: { readonly log: RegExp } | { readonly path: string }
}

/** Starts a container, where an engine answers and the image can be had. Throws where an image that is there does not start. */
export async function startContainer({ image, port, environment, ready }: Plan): Promise<Container | Missing> {
  const module = await import('testcontainers').catch(unlessInstalled)
  if (module === undefined) return { missing: 'testcontainers is not installed' }
  const { GenericContainer: Container, getContainerRuntimeClient, ImageName, Wait } = module
  const client = await getContainerRuntimeClient().catch(() => undefined)
  if (client === undefined) return { missing: 'no container engine answers' }
  try {
    await client.image.pull(ImageName.fromString(image))
    // A pull that breaks off in the middle is not told.
    await client.image.inspect(ImageName.fromString(image))
  } catch (error) {
    return { missing: `${image} cannot be pulled: ${firstLine(error)}` }
  }
  const { host } = client.info.containerRuntime
  const outside = await freePort()
  const until = 'log' in ready ? Wait.forLogMessage(ready.log) : Wait.forHttp(ready.path, port)
  try {
    const container = new Container(image).withEnvironment(environment(host, outside))
    const started = await startOn(container, { container: port, host: outside }, until)
    return { host, port: outside, stop: async () => void (await started.stop()) }
  } catch (error) {
    throw new Error(`${image} does not start: ${firstLine(error)}`, { cause: error })
  }
}

function unlessInstalled(error: unknown): undefined {
  if (!(error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND')) throw error
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? ''
}

async function startOn(
  container: GenericContainer,
  port: { readonly container: number; readonly host: number },
  until: WaitStrategy,
): Promise<StartedTestContainer> {
  return await container.withExposedPorts(port).withWaitStrategy(until).withStartupTimeout(START_TIMEOUT_MS).start()
}
