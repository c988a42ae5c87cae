import { avro } from '../codec/avro.ts'
import { json } from '../codec/json.ts'
import { registry, type RegistryOptions } from '../codec/registry.ts'
import { env } from '../config.ts'
import { ConfigError } from '../errors.ts'
import type { Codec, Transport } from '../ports.ts'
import { isBroker, type ConnectOptions } from '../transport/kafka-client.ts'
import { kafka } from '../transport/kafka.ts'
import { neededSecret, secret, tlsFiles } from './secret.ts'

/** How values may become bytes, as `--codec` names them. */
export const codecNames = ['registry', 'avro', 'json'] as const
export type CodecName = (typeof codecNames)[number]

const mechanisms = ['plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer'] as const

/** What the environment says of the cluster and the registry, for `--help`. */
export const environmentHelp = `  KAFKA_BROKERS        host:port, several with commas (required)
  KAFKA_GROUP          consumer group and prefix of transactional ids (default: lorastream)
  KAFKA_DEAD_LETTERS   topic for what cannot be answered (default: prompts.dead)
  KAFKA_SSL            true: TLS; KAFKA_SSL_CA, KAFKA_SSL_CERT and KAFKA_SSL_KEY name PEM files,
                       KAFKA_SSL_PASSPHRASE opens the key
  KAFKA_SASL           plain, scram-sha-256, scram-sha-512 with KAFKA_USERNAME and KAFKA_PASSWORD;
                       oauthbearer with KAFKA_OAUTH_TOKEN (its file is read for every connection)
  SCHEMA_REGISTRY_URL  the registry's Confluent API, several with commas (required with a registry)
  SCHEMA_REGISTRY_AUTH USER:PASSWORD, or SCHEMA_REGISTRY_TOKEN: a bearer token
  SCHEMA_REGISTRY_SSL_CA, _SSL_CERT, _SSL_KEY name PEM files for https
  SCHEMA_REGISTRY_AUTO_REGISTER  false: schemas must be there (default: true)
  SCHEMA_REGISTRY_SUBJECT        topic, record or topic-record (default: topic)

Secrets may be in files: NAME_FILE names one, for KAFKA_PASSWORD, KAFKA_OAUTH_TOKEN,
KAFKA_SSL_PASSPHRASE, SCHEMA_REGISTRY_AUTH and SCHEMA_REGISTRY_TOKEN.`

/** The Kafka transport that the environment describes. Throws ConfigError that names the variable. */
export function kafkaFromEnvironment(codec: Codec = registryFromEnvironment()): Transport {
  return kafka({
    ...clusterFromEnvironment(),
    group: env('KAFKA_GROUP', 'lorastream'),
    deadLetters: env('KAFKA_DEAD_LETTERS', 'prompts.dead'),
    codec,
  })
}

/** How the environment says to connect to the cluster. Throws ConfigError that names the variable. */
export function clusterFromEnvironment(): ConnectOptions {
  const brokers = env('KAFKA_BROKERS')
    .split(',')
    .map(broker => broker.trim())
  const wrong = brokers.find(broker => !isBroker(broker))
  if (wrong !== undefined)
    throw new ConfigError(`KAFKA_BROKERS has "${wrong}", expected host:port, several with commas`)
  return { brokers, ...tls(), ...sasl() }
}

function tls(): Pick<ConnectOptions, 'ssl'> {
  const ssl = env('KAFKA_SSL', 'false')
  if (ssl !== 'true' && ssl !== 'false') throw new ConfigError(`KAFKA_SSL is "${ssl}", expected true or false`)
  const files = tlsFiles('KAFKA_SSL')
  if (ssl === 'true') return { ssl: files ?? true }
  // Who names certificates wants TLS: a password must not go over the wire because of a line that was forgotten.
  if (files !== undefined) throw new ConfigError('KAFKA_SSL is not "true", but files for TLS are named')
  return {}
}

function sasl(): Pick<ConnectOptions, 'sasl'> {
  const wanted = env('KAFKA_SASL', 'none')
  if (wanted === 'none') {
    const name = ['KAFKA_PASSWORD', 'KAFKA_OAUTH_TOKEN'].find(one => secret(one) !== undefined)
    if (name !== undefined) throw new ConfigError(`${name} is set, but KAFKA_SASL is not, expected ${mechanismNames}`)
    return {}
  }
  const mechanism = mechanisms.find(name => name === wanted)
  if (mechanism === undefined) throw new ConfigError(`KAFKA_SASL is "${wanted}", expected ${mechanismNames}`)
  if (mechanism !== 'oauthbearer')
    return { sasl: { mechanism, username: env('KAFKA_USERNAME'), password: neededSecret('KAFKA_PASSWORD') } }
  // Now, so that a file that is not there costs no work; later, because tokens expire and files are renewed.
  neededSecret('KAFKA_OAUTH_TOKEN')
  return { sasl: { mechanism, oauthBearerProvider: async () => ({ value: neededSecret('KAFKA_OAUTH_TOKEN') }) } }
}

const mechanismNames = `${mechanisms.slice(0, -1).join(', ')} or ${mechanisms.at(-1)}`

/** The codec of that name; a registry is the one that the environment describes. Throws ConfigError that names the variable. */
export function codecOf(name: CodecName): Codec {
  if (name === 'avro') return avro()
  return name === 'json' ? json() : registryFromEnvironment()
}

/** The codec on the registry that the environment describes. Throws ConfigError that names the variable. */
export function registryFromEnvironment(): Codec {
  const subject = env('SCHEMA_REGISTRY_SUBJECT', 'topic')
  const autoRegister = env('SCHEMA_REGISTRY_AUTO_REGISTER', 'true')
  if (subject !== 'topic' && subject !== 'record' && subject !== 'topic-record')
    throw new ConfigError(`SCHEMA_REGISTRY_SUBJECT is "${subject}", expected topic, record or topic-record`)
  if (autoRegister !== 'true' && autoRegister !== 'false')
    throw new ConfigError(`SCHEMA_REGISTRY_AUTO_REGISTER is "${autoRegister}", expected true or false`)
  return registry({
    url: env('SCHEMA_REGISTRY_URL').split(','),
    subject,
    autoRegister: autoRegister === 'true',
    ...registryAccess(),
  })
}

/** Credentials and TLS for the registry, as the environment says. Throws ConfigError that names the variable. */
export function registryAccess(): Pick<RegistryOptions, 'basic' | 'bearer' | 'tls'> {
  const files = tlsFiles('SCHEMA_REGISTRY_SSL')
  return { ...credentials(), ...(files !== undefined && { tls: files }) }
}

function credentials(): Pick<RegistryOptions, 'basic' | 'bearer'> {
  const auth = secret('SCHEMA_REGISTRY_AUTH')
  const bearer = secret('SCHEMA_REGISTRY_TOKEN')
  if (auth !== undefined && bearer !== undefined)
    throw new ConfigError('SCHEMA_REGISTRY_AUTH and SCHEMA_REGISTRY_TOKEN are both given, expected one of them')
  const colon = auth?.indexOf(':') ?? 0
  if (colon === -1) throw new ConfigError('SCHEMA_REGISTRY_AUTH has no colon, expected USER:PASSWORD')
  return {
    ...(auth !== undefined && { basic: { username: auth.slice(0, colon), password: auth.slice(colon + 1) } }),
    ...(bearer !== undefined && { bearer }),
  }
}
