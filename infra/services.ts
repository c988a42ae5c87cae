import { findBroker } from './kafka.ts'
import type { Missing, Tell } from './ladder.ts'
import { findRegistry } from './registry.ts'

/** A broker and a registry: what the main job needs around it. */
export type Services = {
  readonly brokers: readonly string[]
  readonly registry: string
  /** Ends what was started here, and removes its data. */
  stop(): Promise<void>
}

/** Both by the ladder, at the same time. Where one cannot be had the other is ended, and the reason returned or thrown. */
export async function findServices(tell?: Tell): Promise<Services | Missing> {
  const finding = [findBroker(tell), findRegistry(tell)] as const
  try {
    const [broker, registry] = await Promise.all(finding)
    if ('missing' in broker) return await without(broker)
    if ('missing' in registry) return await without(registry)
    return { brokers: broker.brokers, registry: registry.url, stop }
  } catch (error) {
    await stop()
    throw error
  }

  async function without(missing: Missing): Promise<Missing> {
    await stop()
    return missing
  }

  async function stop(): Promise<void> {
    for (const one of await Promise.allSettled(finding))
      if (one.status === 'fulfilled' && 'stop' in one.value) await one.value.stop()
  }
}
