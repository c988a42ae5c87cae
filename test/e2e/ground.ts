import { setTimeout } from 'node:timers/promises'
import { startCluster, type Cluster, type Node } from '../../infra/kafka-cluster.ts'
import { findRegistry, type Registry } from '../../infra/registry.ts'
import { findToxiproxy, type Link, type Toxiproxy } from '../../infra/toxiproxy.ts'
import { missingJava } from '../../infra/java.ts'
import type { Fault, groundFaults, Step } from './plan.ts'

/** What a trial stands on: brokers, a registry, and the links to them. */
export type Ground = {
  readonly brokers: 1 | 3
  /** For the instances, through the links. */
  readonly env: { readonly KAFKA_BROKERS: string; readonly SCHEMA_REGISTRY_URL: string }
  /** The brokers for who watches, past the links. */
  readonly direct: readonly string[]
  readonly registry: string
  /** Makes a fault, lets it last, and mends it. `leader` tells who leads the partition of a number. */
  suffer(
    step: Step<(typeof groundFaults)[number]>,
    leader: (partition: number) => Promise<number | undefined>,
  ): Promise<void>
  stop(): Promise<void>
}

/** Grounds, each started when it is first asked for, and what faults cannot be made here. */
export type Grounds = {
  readonly missing: ReadonlyMap<Fault, string>
  ground(brokers: 1 | 3): Promise<Ground>
  stop(): Promise<void>
}

/** Throws when there is no Java. The faults of links are missing where there is no Toxiproxy, and where it is not wanted. */
export async function openGrounds(links = true): Promise<Grounds> {
  const reason = await missingJava()
  if (reason !== undefined) throw new Error(`trials start brokers of their own, and ${reason}`)
  const [found, registry] = await Promise.all([links ? findToxiproxy() : { missing: 'not wanted' }, findRegistry()])
  if ('missing' in registry) throw new Error(registry.missing)
  const proxy = 'missing' in found ? undefined : found
  const missing = new Map<Fault, string>()
  if ('missing' in found)
    for (const fault of ['link-slow', 'link-cut', 'link-reset', 'registry-down'] as const)
      missing.set(fault, found.missing)
  if (registry.pid === undefined) missing.set('registry-stop', 'the registry is not ours')
  const link = await proxy?.link('registry', Number(new URL(registry.url).port))
  const open = new Map<number, Promise<Ground>>()
  return {
    missing,
    ground(brokers) {
      const there = open.get(brokers) ?? openGround(brokers, proxy, registry, link)
      open.set(brokers, there)
      return there
    },
    async stop() {
      const grounds = await Promise.allSettled(open.values())
      await Promise.all(grounds.map(async result => result.status === 'fulfilled' && (await result.value.stop())))
      await registry.stop()
      await proxy?.stop()
    },
  }
}

async function openGround(
  brokers: 1 | 3,
  proxy: Toxiproxy | undefined,
  registry: Registry,
  toRegistry: Link | undefined,
): Promise<Ground> {
  const links: Link[] = []
  const cluster = await startCluster(brokers, async port => {
    if (proxy === undefined) return port
    const link = await proxy.link(`broker-${brokers}-${links.length + 1}`, port)
    links.push(link)
    return link.port
  })
  const url = new URL(registry.url)
  if (toRegistry !== undefined) url.port = String(toRegistry.port)
  return {
    brokers,
    env: { KAFKA_BROKERS: cluster.brokers.join(','), SCHEMA_REGISTRY_URL: url.href },
    direct: cluster.direct,
    registry: registry.url,
    suffer,
    stop: () => cluster.stop(),
  }

  async function suffer(
    { fault, victim, forMs }: Step<(typeof groundFaults)[number]>,
    leader: (partition: number) => Promise<number | undefined>,
  ): Promise<void> {
    const link = links[victim % links.length]
    if (fault === 'broker-kill' || fault === 'leader-kill') {
      const node = await hit(cluster, victim, leader)
      await node.kill()
      await setTimeout(forMs)
      await node.restart()
    } else if (fault === 'broker-stop' || fault === 'leader-stop')
      await asleep((await hit(cluster, victim, leader)).pid, forMs)
    else if (fault === 'registry-stop') await asleep(registry.pid, forMs)
    else if (fault === 'registry-down') {
      await toRegistry?.cut()
      await setTimeout(forMs)
      await toRegistry?.heal()
    } else {
      if (fault === 'link-slow') await link?.poison({ type: 'latency', attributes: { latency: 300, jitter: 200 } })
      else if (fault === 'link-reset') await link?.poison({ type: 'reset_peer', attributes: { timeout: 100 } })
      else if (victim % 2 === 0) await link?.cut()
      else await link?.poison({ type: 'timeout', attributes: { timeout: 0 } })
      await setTimeout(forMs)
      await link?.heal()
    }
  }
}

async function asleep(pid: number | undefined, ms: number): Promise<void> {
  if (pid === undefined) return
  process.kill(pid, 'SIGSTOP')
  await setTimeout(ms)
  process.kill(pid, 'SIGCONT')
}

/** The node that leads the partition; where that cannot be told, any. */
async function hit(
  { nodes }: Cluster,
  victim: number,
  leader: (partition: number) => Promise<number | undefined>,
): Promise<Node> {
  const found = await leader(victim).catch(() => undefined)
  const node = nodes.find(({ id }) => id === found) ?? nodes[victim % nodes.length]
  if (node === undefined) throw new Error('a cluster without nodes')
  return node
}
