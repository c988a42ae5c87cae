import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { kafkaJars, startJava, type Java } from './java.ts'

/** A broker's settings, by Kafka's names. */
export type Settings = Readonly<Record<string, string | number | boolean>>

/** Kafka 4.4 on the local JVM, a node in a folder of its own. */
export type KafkaProgram = {
  /** Writes a node's settings and makes its empty log; `more` are options of Kafka's storage tool. */
  format(folder: string, settings: Settings, more?: readonly string[]): Promise<void>
  /** Starts a node that was formatted there, and does not wait until it answers. */
  start(folder: string): Promise<Java>
}

/** Fetches Kafka on first use. */
export async function kafkaProgram(): Promise<KafkaProgram> {
  const jars = join(await kafkaJars(), '*')
  const flags = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto', '-cp', jars]
  return {
    async format(folder, settings, more = []) {
      const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`)
      await writeFile(propertiesOf(folder), lines.join(''))
      const tool = ['kafka.tools.StorageTool', 'format', '-t', 'MkU3OEVBNTcwNTJENDM2Qg', '-c', propertiesOf(folder)]
      await promisify(execFile)('java', [...flags, ...tool, ...more])
    },
    start: folder => startJava(['-Xmx256m', ...flags, 'kafka.Kafka', propertiesOf(folder)], join(folder, 'log')),
  }
}

function propertiesOf(folder: string): string {
  return join(folder, 'server.properties')
}

/**
 * What nodes have in common, brokers and controllers at once, on one machine: small internal topics, all replicated to three
 * nodes where there are so many; short timeouts, so that faults are noticed soon. Listeners are each node's own.
 */
export function nodeSettings(id: number, nodes: 1 | 3, logs: string): Settings {
  const inSync = nodes === 1 ? 1 : 2
  return {
    'process.roles': 'broker,controller',
    'node.id': id,
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': logs,
    'auto.create.topics.enable': false,
    'default.replication.factor': nodes,
    'min.insync.replicas': inSync,
    'offsets.topic.replication.factor': nodes,
    'offsets.topic.num.partitions': 4,
    'transaction.state.log.replication.factor': nodes,
    'transaction.state.log.min.isr': inSync,
    'transaction.state.log.num.partitions': 4,
    'share.coordinator.state.topic.replication.factor': nodes,
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
}
