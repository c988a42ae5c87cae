import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import { eventually, freePort, temporaryFolder } from './java.ts'
import { kafkaProgram, nodeSettings, type Settings } from './kafka-node.ts'

/** Three JVMs that start at once on two busy cores. */
const START_TIMEOUT_MS = 120_000

/** A broker of a cluster, for faults. */
export type Node = {
  readonly id: number
  /** Of its process, for signals; another one after a restart. */
  readonly pid: number
  /** Ends it at once, as a crash would. */
  kill(): Promise<void>
  /** After a `kill`: the same data, the same ports. Resolves when it answers. */
  restart(): Promise<void>
}

/** Brokers with two doors each: one for the clients under test, one for whoever watches. */
export type Cluster = {
  /** What the clients under test are given; every broker advertises to them what `advertise` said. */
  readonly brokers: readonly string[]
  /** The brokers themselves. */
  readonly direct: readonly string[]
  readonly nodes: readonly Node[]
  /** Ends the brokers and removes their data. */
  stop(): Promise<void>
}

type Ports = { readonly client: number; readonly direct: number; readonly controller: number; readonly seen: number }

/**
 * Kafka 4.4 on the local JVM, in KRaft mode, every node both broker and controller; with three of them everything is
 * replicated three times, and two replicas must be in sync. `advertise` tells the port by which clients reach a broker that
 * listens at another, where a proxy stands in between.
 */
export async function startCluster(
  size: 1 | 3,
  advertise: (port: number) => Promise<number> = async port => port,
): Promise<Cluster> {
  const program = await kafkaProgram()
  const folder = await temporaryFolder('lorastream-cluster-')
  const all: Ports[] = []
  for (let id = 1; id <= size; id++) {
    const client = await freePort()
    all.push({ client, direct: await freePort(), controller: await freePort(), seen: await advertise(client) })
  }
  const nodes: (Node & { readonly ended: () => Promise<void> })[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map(node => node.ended()))
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await Promise.all(all.map((_, index) => format(index + 1)))
    nodes.push(...(await Promise.all(all.map((_, index) => open(index + 1)))))
    await Promise.all(nodes.map(({ id }) => answers(id)))
  } catch (error) {
    await stop()
    throw error
  }
  return {
    brokers: all.map(({ seen }) => `127.0.0.1:${seen}`),
    direct: all.map(({ direct }) => `127.0.0.1:${direct}`),
    nodes,
    stop,
  }

  async function format(id: number): Promise<void> {
    const home = join(folder, String(id))
    await mkdir(home)
    await program.format(home, settings(home, id, all))
  }

  async function open(id: number): Promise<(typeof nodes)[number]> {
    let java = await program.start(join(folder, String(id)))
    return {
      id,
      get pid() {
        return java.pid
      },
      kill: () => java.kill(),
      ended: () => java.kill(),
      restart: async () => {
        java = await program.start(join(folder, String(id)))
        await answers(id)
      },
    }
  }

  /** Until a broker serves its clients and knows the others. */
  async function answers(id: number): Promise<void> {
    const broker = `127.0.0.1:${all[id - 1]?.direct ?? 0}`
    await eventually(START_TIMEOUT_MS, async () => {
      const admin = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING, retry: { retries: 0 } }).admin()
      try {
        await admin.connect()
        const found = (await admin.describeCluster()).brokers
        if (!found.some(({ nodeId }) => nodeId === id) || (nodes.length < size && found.length < size))
          throw new Error(`broker ${id} sees ${found.length} of ${size}`)
      } finally {
        await admin.disconnect()
      }
    })
  }
}

function at(port: number): string {
  return `127.0.0.1:${port}`
}

function settings(folder: string, id: number, all: readonly Ports[]): Settings {
  const [{ client, direct, controller, seen }] = [all[id - 1] ?? { client: 0, direct: 0, controller: 0, seen: 0 }]
  return {
    ...nodeSettings(id, all.length === 1 ? 1 : 3, join(folder, 'logs')),
    'controller.quorum.voters': all.map((ports, index) => `${index + 1}@${at(ports.controller)}`).join(','),
    listeners: `CLIENT://${at(client)},DIRECT://${at(direct)},CONTROLLER://${at(controller)}`,
    'advertised.listeners': `CLIENT://${at(seen)},DIRECT://${at(direct)}`,
    'listener.security.protocol.map': 'CLIENT:PLAINTEXT,DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'inter.broker.listener.name': 'DIRECT',
  }
}
