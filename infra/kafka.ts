import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import { kafkaImage, startContainer } from './containers.ts'
import { eventually, freePort, missingJava, temporaryFolder } from './java.ts'
import { kafkaProgram, nodeSettings, type Settings } from './kafka-node.ts'
import { climb, named, type Missing, type Tell } from './ladder.ts'

/** A JVM on a busy machine needs more than the usual four seconds. */
const START_TIMEOUT_MS = 60_000

/** A broker to test against. */
export type Broker = {
  readonly brokers: readonly string[]
  /** Ends the broker at once, as a crash would. Only where the broker is ours. */
  kill?(): Promise<void>
  /** Ends a broker that was started here, and removes its data. */
  stop(): Promise<void>
}

export type Credentials = { readonly username: string; readonly password: string }
/** PEM files of a broker: its key and certificate in one, and who may vouch for clients. */
export type Certificates = { readonly keystore: string; readonly truststore: string }
type Secured = {
  readonly sasl: number
  readonly user: Credentials
  /** Ports of the listeners with TLS. */
  readonly tls?: Certificates & { readonly ssl: number; readonly mutual: number; readonly saslSsl: number }
}
/** Where a secured broker listens: with SASL, and where it has certificates with TLS, mutual TLS, and SASL over TLS. */
export type SecuredBroker = Broker & {
  readonly secured: readonly string[]
  readonly ssl: readonly string[]
  readonly mutual: readonly string[]
  readonly saslSsl: readonly string[]
}

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
 * A broker that also listens for clients with a name and a password, or an unsigned OAuth token, who may do nothing until they are
 * allowed to; who comes without may do everything. With certificates, for those with TLS, too. Always Kafka 4.4 on the local JVM.
 */
export async function findSecuredBroker(user: Credentials, tls?: Certificates): Promise<SecuredBroker | Missing> {
  const reason = await missingJava()
  if (reason !== undefined) return { missing: reason }
  const [sasl, ssl, mutual, saslSsl] = [await freePort(), await freePort(), await freePort(), await freePort()]
  const broker = await startBroker({ sasl, user, ...(tls !== undefined && { tls: { ...tls, ssl, mutual, saslSsl } }) })
  return { ...broker, secured: at(sasl), ssl: at(ssl), mutual: at(mutual), saslSsl: at(saslSsl) }
}

function at(port: number): readonly string[] {
  return [`127.0.0.1:${port}`]
}

async function startBroker(security?: Secured): Promise<Broker> {
  const program = await kafkaProgram()
  const folder = await temporaryFolder('lorastream-kafka-')
  const [port, controller] = [await freePort(), await freePort()]
  const place = { listen: '127.0.0.1', port, controller, advertised: `127.0.0.1:${port}`, logs: join(folder, 'logs') }
  await program.format(
    folder,
    { ...settings(place), ...(security === undefined ? {} : secured(security, port, controller)) },
    security === undefined ? [] : scram(security.user),
  )
  const java = await program.start(folder)
  const brokers = [`127.0.0.1:${port}`]
  try {
    await eventually(START_TIMEOUT_MS, answers)
  } catch (error) {
    await java.kill()
    throw error
  }
  return {
    brokers,
    kill: async () => await java.kill(),
    stop: async () => {
      await java.kill()
      await rm(folder, { recursive: true, force: true })
    },
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

/** One node, for one machine. */
function settings({ listen, port, controller, advertised, logs }: Place): Settings {
  return {
    ...nodeSettings(1, 1, logs),
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    listeners: `PLAINTEXT://${listen}:${port},CONTROLLER://${listen}:${controller}`,
    'advertised.listeners': `PLAINTEXT://${advertised}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'inter.broker.listener.name': 'PLAINTEXT',
  }
}

/** As the image takes them: `node.id` is `KAFKA_NODE_ID`. */
function toEnvironment(all: Settings): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(all).map(([name, value]) => [`KAFKA_${name.toUpperCase().replaceAll('.', '_')}`, String(value)]),
  )
}

function secured({ sasl, user, tls }: Secured, plain: number, controller: number): Settings {
  const ports = [
    ['PLAINTEXT', plain],
    ['SASL_PLAINTEXT', sasl],
  ] as (readonly [string, number])[]
  if (tls !== undefined) ports.push(['SSL', tls.ssl], ['MUTUAL', tls.mutual], ['SASL_SSL', tls.saslSsl])
  const all = ports.map(([name, port]) => `${name}://127.0.0.1:${port}`).join()
  return {
    listeners: `${all},CONTROLLER://127.0.0.1:${controller}`,
    'advertised.listeners': all,
    'listener.security.protocol.map': `CONTROLLER:PLAINTEXT,MUTUAL:SSL,${['PLAINTEXT', 'SSL', 'SASL_PLAINTEXT', 'SASL_SSL'].map(name => `${name}:${name}`).join()}`,
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER',
    ...withSasl('sasl_plaintext', user),
    ...(tls !== undefined && {
      ...withSasl('sasl_ssl', user),
      'ssl.keystore.type': 'PEM',
      'ssl.keystore.location': tls.keystore,
      'ssl.truststore.type': 'PEM',
      'ssl.truststore.location': tls.truststore,
      'listener.name.mutual.ssl.client.auth': 'required',
    }),
    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'super.users': 'User:ANONYMOUS',
  }
}

function withSasl(listener: string, user: Credentials): Settings {
  const modules = 'org.apache.kafka.common.security'
  const known = `user_${user.username}="${user.password}"`
  const jaas = (mechanism: string): string => `listener.name.${listener}.${mechanism}.sasl.jaas.config`
  return {
    [jaas('plain')]: `${modules}.plain.PlainLoginModule required ${known};`,
    [jaas('scram-sha-256')]: `${modules}.scram.ScramLoginModule required;`,
    [jaas('scram-sha-512')]: `${modules}.scram.ScramLoginModule required;`,
    [jaas('oauthbearer')]:
      `${modules}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
  }
}

function scram({ username, password }: Credentials): readonly string[] {
  return ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap(mechanism => [
    '--add-scram',
    `${mechanism}=[name=${username},password=${password}]`,
  ])
}
