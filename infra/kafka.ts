import { execFile } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Kafka, logLevel } from 'kafkajs'
import { kafkaImage, startContainer } from './containers.ts'
import { eventually, freePort, kafkaJars, missingJava, startJava, temporaryFolder, type Java } from './java.ts'
import { climb, named, type Missing, type Tell } from './ladder.ts'

/** A JVM on a busy machine needs more than the usual four seconds. */
const START_TIMEOUT_MS = 60_000

/** A broker to test against. */
export type Broker = {
  readonly brokers: readonly string[]
  /** Of the broker's process, where it is ours: for faults. */
  readonly pid?: number
  /** After a `kill`: the same data, the same port. Only where the broker is ours. */
  restart?(): Promise<void>
  /** Ends the broker at once, as a crash would. Only where the broker is ours. */
  kill?(): Promise<void>
  /** Ends a broker that was started here, and removes its data. */
  stop(): Promise<void>
}

export type Credentials = { readonly username: string; readonly password: string }
type Sasl = { readonly port: number; readonly user: Credentials }

/**
 * A broker: the one that `KAFKA_BROKERS` names, else Kafka 4.4 in a container where an engine answers, else on the local JVM
 * from Maven's jars. One line tells which, and why. Where none can be had, the reasons and what to install.
 */
export async function findBroker(tell?: Tell): Promise<Broker | Missing> {
  return await climb<Broker>({ service: 'Kafka', variable: 'KAFKA_BROKERS' }, [byName, contained, onJvm], tell)
}

const byName = named('KAFKA_BROKERS', value => ({ brokers: value.split(','), stop: async () => {} }))

const contained = {
  name: `${kafkaImage} in a container`,
  async take() {
    const container = await startContainer({
      image: kafkaImage,
      port: 9092,
      environment: (host, port) =>
        toEnvironment(
          settings({ listen: '', port: 9092, controller: 9093, advertised: `${host}:${port}`, logs: '/tmp/kafka' }),
        ),
      ready: { log: /Kafka Server started/ },
    })
    return 'missing' in container
      ? container
      : { brokers: [`${container.host}:${container.port}`], stop: () => container.stop() }
  },
}

const onJvm = {
  name: 'Kafka 4.4 on the local JVM',
  async take() {
    const reason = await missingJava()
    return reason === undefined ? await startBroker() : { missing: reason }
  },
}

/**
 * A broker that also listens for clients with a name and a password (`secured`), who may do nothing until they are allowed to;
 * who comes without may do everything. Always Kafka 4.4 on the local JVM.
 */
export async function findSecuredBroker(
  user: Credentials,
): Promise<(Broker & { readonly secured: readonly string[] }) | Missing> {
  const reason = await missingJava()
  if (reason !== undefined) return { missing: reason }
  const port = await freePort()
  return { ...(await startBroker({ port, user })), secured: [`127.0.0.1:${port}`] }
}

async function startBroker(sasl?: Sasl): Promise<Broker> {
  const jars = await kafkaJars()
  const folder = await temporaryFolder('lorastream-kafka-')
  const [port, controller] = [await freePort(), await freePort()]
  const properties = join(folder, 'server.properties')
  const place = { listen: '127.0.0.1', port, controller, advertised: `127.0.0.1:${port}`, logs: join(folder, 'logs') }
  await writeFile(
    properties,
    toProperties({ ...settings(place), ...(sasl === undefined ? {} : secured(sasl, port, controller)) }),
  )
  const flags = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto', '-cp', join(jars, '*')]
  await promisify(execFile)('java', [
    ...flags,
    'kafka.tools.StorageTool',
    'format',
    '-t',
    'MkU3OEVBNTcwNTJENDM2Qg',
    '-c',
    properties,
    ...(sasl === undefined ? [] : scram(sasl.user)),
  ])
  const brokers = [`127.0.0.1:${port}`]
  let java = await start()

  return {
    brokers,
    get pid() {
      return java.pid
    },
    kill: async () => await java.kill(),
    restart: async () => {
      java = await start()
    },
    stop: async () => {
      await java.kill()
      await rm(folder, { recursive: true, force: true })
    },
  }

  async function start(): Promise<Java> {
    const started = await startJava(['-Xmx256m', ...flags, 'kafka.Kafka', properties], join(folder, 'log'))
    try {
      await eventually(START_TIMEOUT_MS, answers)
    } catch (error) {
      await started.kill()
      throw error
    }
    return started
  }

  async function answers(): Promise<void> {
    const admin = new Kafka({ brokers, logLevel: logLevel.NOTHING, retry: { retries: 0 } }).admin()
    await admin.connect()
    await admin.listTopics().finally(() => admin.disconnect())
  }
}

type Place = {
  /** The interface, none for all. */
  readonly listen: string
  readonly port: number
  readonly controller: number
  /** Where clients find it. */
  readonly advertised: string
  readonly logs: string
}

type Settings = Readonly<Record<string, string | number | boolean>>

/** One node in both roles, for one machine: small internal topics, short timeouts. */
function settings({ listen, port, controller, advertised, logs }: Place): Settings {
  return {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    listeners: `PLAINTEXT://${listen}:${port},CONTROLLER://${listen}:${controller}`,
    'advertised.listeners': `PLAINTEXT://${advertised}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': logs,
    'auto.create.topics.enable': false,
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 4,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 4,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 1000,
    'broker.session.timeout.ms': 2000,
    'broker.heartbeat.interval.ms': 500,
    'transaction.max.timeout.ms': 900_000,
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': 1000,
    'log.cleaner.enable': false,
    'num.network.threads': 2,
    'num.io.threads': 4,
    'background.threads': 2,
  }
}

function toProperties(all: Settings): string {
  return Object.entries(all)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}

/** As the image takes them: `node.id` is `KAFKA_NODE_ID`. */
function toEnvironment(all: Settings): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(all).map(([name, value]) => [`KAFKA_${name.toUpperCase().replaceAll('.', '_')}`, String(value)]),
  )
}

function secured({ port, user }: Sasl, plain: number, controller: number): Settings {
  const modules = 'org.apache.kafka.common.security'
  const known = `user_${user.username}="${user.password}"`
  return {
    listeners: `PLAINTEXT://127.0.0.1:${plain},CONTROLLER://127.0.0.1:${controller},SASL_PLAINTEXT://127.0.0.1:${port}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${plain},SASL_PLAINTEXT://127.0.0.1:${port}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT',
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    'listener.name.sasl_plaintext.plain.sasl.jaas.config': `${modules}.plain.PlainLoginModule required ${known};`,
    'listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config': `${modules}.scram.ScramLoginModule required;`,
    'listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config': `${modules}.scram.ScramLoginModule required;`,
    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'super.users': 'User:ANONYMOUS',
  }
}

function scram({ username, password }: Credentials): readonly string[] {
  return ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap(mechanism => [
    '--add-scram',
    `${mechanism}=[name=${username},password=${password}]`,
  ])
}
