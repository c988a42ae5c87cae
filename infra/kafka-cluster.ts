import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Kafka, logLevel } from 'kafkajs'
import { eventually, freePort, kafkaJars, startJava, type Java } from './java.ts'

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
  const jars = await kafkaJars()
  const folder = await mkdtemp(join(tmpdir(), 'lorastream-cluster-'))
  const all: Ports[] = []
  for (let id = 1; id <= size; id++) {
    const client = await freePort()
    all.push({ client, direct: await freePort(), controller: await freePort(), seen: await advertise(client) })
  }
  const flags = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto', '-cp', join(jars, '*')]
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
    await writeFile(join(home, 'server.properties'), settings(home, id, all))
    const tool = ['kafka.tools.StorageTool', 'format', '-t', 'MkU3OEVBNTcwNTJENDM2Qg', '-c']
    await promisify(execFile)('java', [...flags, ...tool, join(home, 'server.properties')])
  }

  async function open(id: number): Promise<(typeof nodes)[number]> {
    let java = await start(id)
    return {
      id,
      get pid() {
        return java.pid
      },
      kill: () => java.kill(),
      ended: () => java.kill(),
      restart: async () => {
        java = await start(id)
        await answers(id)
      },
    }
  }

  async function start(id: number): Promise<Java> {
    const home = join(folder, String(id))
    const args = ['-Xmx256m', ...flags, 'kafka.Kafka', join(home, 'server.properties')]
    return await startJava(args, join(home, 'log'))
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

/** Small internal topics, short timeouts: faults shall be noticed soon. */
function settings(folder: string, id: number, all: readonly Ports[]): string {
  const [{ client, direct, controller, seen }] = [all[id - 1] ?? { client: 0, direct: 0, controller: 0, seen: 0 }]
  const [replicas, inSync] = all.length === 1 ? [1, 1] : [3, 2]
  const lines = {
    'process.roles': 'broker,controller',
    'node.id': id,
    'controller.quorum.voters': all.map((ports, index) => `${index + 1}@${at(ports.controller)}`).join(','),
    listeners: `CLIENT://${at(client)},DIRECT://${at(direct)},CONTROLLER://${at(controller)}`,
    'advertised.listeners': `CLIENT://${at(seen)},DIRECT://${at(direct)}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'CLIENT:PLAINTEXT,DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'inter.broker.listener.name': 'DIRECT',
    'log.dirs': join(folder, 'logs'),
    'auto.create.topics.enable': false,
    'default.replication.factor': replicas,
    'min.insync.replicas': inSync,
    'offsets.topic.replication.factor': replicas,
    'offsets.topic.num.partitions': 4,
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': inSync,
    'transaction.state.log.num.partitions': 4,
    'share.coordinator.state.topic.replication.factor': replicas,
    'share.coordinator.state.topic.min.isr': inSync,
    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 1000,
    'broker.session.timeout.ms': 2000,
    'broker.heartbeat.interval.ms': 500,
    'replica.lag.time.max.ms': 3000,
    'transaction.max.timeout.ms': 900_000,
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': 1000,
    'log.cleaner.enable': false,
    'num.network.threads': 2,
    'num.io.threads': 4,
    'background.threads': 2,
  }
  return Object.entries(lines)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}
