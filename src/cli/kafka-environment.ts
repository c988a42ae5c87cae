import { readFileSync } from 'node:fs'
import { registry } from '../codec/registry.ts'
import { env } from '../config.ts'
import { ConfigError } from '../errors.ts'
import type { Codec, Transport } from '../ports.ts'
import type { ConnectOptions } from '../transport/kafka-client.ts'
import { kafka, type KafkaOptions } from '../transport/kafka.ts'

/** What the environment says of the cluster and the registry, for `--help`. */
export const environmentHelp = `  KAFKA_BROKERS        host:port, several with commas (required)
  KAFKA_GROUP          consumer group and prefix of transactional ids (default: lorastream)
  KAFKA_DEAD_LETTERS   topic for what cannot be answered (default: prompts.dead)
  KAFKA_SSL            true: TLS; KAFKA_SSL_CA, KAFKA_SSL_CERT and KAFKA_SSL_KEY name PEM files
  KAFKA_SASL           plain, scram-sha-256 or scram-sha-512, with KAFKA_USERNAME and KAFKA_PASSWORD
  SCHEMA_REGISTRY_URL  the registry's Confluent API (required)
  SCHEMA_REGISTRY_AUTH USER:PASSWORD
  SCHEMA_REGISTRY_TOKEN a bearer token`

/** The Kafka transport that the environment describes. Throws ConfigError that names the variable. */
export function kafkaFromEnvironment(): Transport {
  return kafka({
    ...clusterFromEnvironment(),
    group: env('KAFKA_GROUP', 'lorastream'),
    deadLetters: env('KAFKA_DEAD_LETTERS', 'prompts.dead'),
    codec: registryFromEnvironment(),
  })
}

/** How the environment says to connect to the cluster. Throws ConfigError that names the variable. */
export function clusterFromEnvironment(): ConnectOptions {
  return { brokers: env('KAFKA_BROKERS').split(','), ...security() }
}

/** The codec on the registry that the environment describes. Throws ConfigError that names the variable. */
export function registryFromEnvironment(): Codec {
  return registry({ url: env('SCHEMA_REGISTRY_URL').split(','), ...registryCredentials() })
}

function security(): Pick<KafkaOptions, 'ssl' | 'sasl'> {
  const files = { ca: pem('KAFKA_SSL_CA'), cert: pem('KAFKA_SSL_CERT'), key: pem('KAFKA_SSL_KEY') }
  const given = Object.fromEntries(Object.entries(files).filter(([, content]) => content !== undefined))
  const ssl = env('KAFKA_SSL', 'false')
  if (ssl !== 'true' && ssl !== 'false') throw new ConfigError(`KAFKA_SSL is "${ssl}", expected true or false`)
  const mechanism = env('KAFKA_SASL', 'none')
  const options = ssl === 'true' ? { ssl: Object.keys(given).length > 0 ? given : true } : {}
  if (mechanism === 'none') return options
  if (mechanism !== 'plain' && mechanism !== 'scram-sha-256' && mechanism !== 'scram-sha-512')
    throw new ConfigError(`KAFKA_SASL is "${mechanism}", expected plain, scram-sha-256 or scram-sha-512`)
  return { ...options, sasl: { mechanism, username: env('KAFKA_USERNAME'), password: env('KAFKA_PASSWORD') } }
}

function pem(name: string): string | undefined {
  const path = env(name, '-')
  if (path === '-') return undefined
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new ConfigError(`${name}: ${path} cannot be read`, { cause: error })
  }
}

function registryCredentials(): {
  readonly basic?: { readonly username: string; readonly password: string }
  readonly bearer?: string
} {
  const auth = process.env['SCHEMA_REGISTRY_AUTH'] ?? ''
  const bearer = process.env['SCHEMA_REGISTRY_TOKEN'] ?? ''
  const colon = auth.indexOf(':')
  if (auth !== '' && colon === -1) throw new ConfigError('SCHEMA_REGISTRY_AUTH has no colon, expected USER:PASSWORD')
  return {
    ...(auth !== '' && { basic: { username: auth.slice(0, colon), password: auth.slice(colon + 1) } }),
    ...(bearer !== '' && { bearer }),
  }
}
