import { Agent } from 'node:https'
import type { SecureContextOptions } from 'node:tls'
import { ConfigError, SchemaError, toErrorData, TransportError } from '../errors.ts'
import type { Codec, Schema } from '../ports.ts'
import { avroReader, avroWriter } from './avro.ts'

/** The wire format: a zero, the schema's id in four bytes, Avro. */
const HEADER_BYTES = 5
/** A topic has a handful of writers' schemas; ids that strangers make up must not pile up. */
const MAX_WRITERS = 1000
/** A registry answers in milliseconds; one that does not answer is tried again by the transport, which says so. */
const REQUEST_TIMEOUT_MS = 10_000

export type RegistryOptions = {
  /** The registry's Confluent API; several are tried in turn. */
  readonly url: string | readonly string[]
  /** Whether schemas that are not there yet are registered (default), or an error. */
  readonly autoRegister?: boolean
  /** The subject of a topic's values: `TOPIC-value` (default), the record's full name, or `TOPIC-` and that name. */
  readonly subject?: 'topic' | 'record' | 'topic-record'
  readonly basic?: { readonly username: string; readonly password: string }
  /** A bearer token. */
  readonly bearer?: string
  /** TLS: `ca`, and `cert` and `key` for mutual TLS. */
  readonly tls?: Pick<SecureContextOptions, 'ca' | 'cert' | 'key' | 'passphrase'>
}

/** What is used of the registry's client. */
type Client = {
  register(subject: string, schema: SchemaInfo, normalize: boolean): Promise<number>
  getId(subject: string, schema: SchemaInfo, normalize: boolean): Promise<number>
  getBySubjectAndId(subject: string, id: number): Promise<SchemaInfo>
}
type SchemaInfo = { readonly schema: string; readonly schemaType?: string }

/**
 * Avro in the Confluent wire format. Bytes are read with their writer's schema, resolved to ours; values are written with
 * ours, registered or looked up on first use. `decode` throws SchemaError for what can never be decoded, an unknown id
 * among it; both throw TransportError while the registry is out of reach or refuses the credentials, and ConfigError where
 * it refuses the schema.
 */
export function registry(options: RegistryOptions): Codec {
  const { autoRegister = true, subject: strategy = 'topic' } = options
  if (options.basic !== undefined && options.bearer !== undefined)
    throw new ConfigError('basic and bearer exclude each other, expected one of them')
  let client: Promise<Client> | undefined

  return <T>(topic: string, schema: Schema<T>) => {
    const write = avroWriter<T>(topic, schema)
    // Checked here, where a schema that is none is a defect of ours, not of a record.
    avroReader<T>(topic, schema)
    const subject = {
      topic: `${topic}-value`,
      record: fullName(schema),
      'topic-record': `${topic}-${fullName(schema)}`,
    }[strategy]
    const readers = new Map<number, Promise<(bytes: Uint8Array) => T>>()
    let header: Promise<Buffer> | undefined

    return {
      async encode(value: T) {
        const bytes = write(value)
        return Buffer.concat([await headerOf(), bytes])
      },
      async decode(bytes: Uint8Array) {
        if (bytes[0] !== 0 || bytes.length < HEADER_BYTES)
          throw new SchemaError(`topic "${topic}": no schema id, expected the Confluent wire format`)
        const id = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1)
        return (await readerOf(id))(bytes.subarray(HEADER_BYTES))
      },
    }

    /** Once; an attempt that failed is forgotten. */
    function headerOf(): Promise<Buffer> {
      header ??= idOf().then(
        id => {
          const found = Buffer.alloc(HEADER_BYTES)
          found.writeUInt32BE(id, 1)
          return found
        },
        (error: unknown) => {
          header = undefined
          throw error
        },
      )
      return header
    }

    async function idOf(): Promise<number> {
      const info = { schema: JSON.stringify(schema.avro), schemaType: 'AVRO' }
      try {
        const opened = await open()
        return await (autoRegister ? opened.register(subject, info, false) : opened.getId(subject, info, false))
      } catch (error) {
        const what = `subject "${subject}": ${schema.name} cannot be ${autoRegister ? 'registered' : 'found'}`
        throw refusal(error) === undefined
          ? new TransportError(`${what}: ${toErrorData(error).message}`, { cause: error })
          : new ConfigError(`${what}: ${refusal(error)}`, { cause: error })
      }
    }

    function readerOf(id: number): Promise<(bytes: Uint8Array) => T> {
      const known = readers.get(id)
      if (known !== undefined) return known
      const reader = findReader(id)
      if (readers.size >= MAX_WRITERS) readers.clear()
      readers.set(id, reader)
      // Not found today may be found tomorrow.
      reader.catch(() => readers.delete(id))
      return reader
    }

    async function findReader(id: number): Promise<(bytes: Uint8Array) => T> {
      const info = await schemaOf(id)
      try {
        if ((info.schemaType ?? 'AVRO') !== 'AVRO') throw new ConfigError(`${info.schemaType}, expected AVRO`)
        return avroReader<T>(topic, schema, JSON.parse(info.schema))
      } catch (error) {
        throw new SchemaError(`topic "${topic}": schema id ${id}: ${toErrorData(error).message}`, { cause: error })
      }
    }

    async function schemaOf(id: number): Promise<SchemaInfo> {
      try {
        return await (await open()).getBySubjectAndId(subject, id)
      } catch (error) {
        const message = `topic "${topic}": schema id ${id}: ${refusal(error) ?? toErrorData(error).message}`
        throw refusal(error) === undefined
          ? new TransportError(message, { cause: error })
          : new SchemaError(message, { cause: error })
      }
    }
  }

  function open(): Promise<Client> {
    client ??= connect(options)
    return client
  }
}

/** On first use: the client brings a hundred megabytes of other people's clouds. */
async function connect({ url, basic, bearer, tls }: RegistryOptions): Promise<Client> {
  const { SchemaRegistryClient } = await import('@confluentinc/schemaregistry')
  return SchemaRegistryClient.newClient({
    baseURLs: typeof url === 'string' ? [url] : [...url],
    // The transport tries again, and tells of it.
    maxRetries: 0,
    createAxiosDefaults: {
      timeout: REQUEST_TIMEOUT_MS,
      ...(bearer !== undefined && { headers: { Authorization: `Bearer ${bearer}` } }),
      ...(tls !== undefined && { httpsAgent: new Agent(tls) }),
    },
    ...(basic !== undefined && {
      basicAuthCredentials: { credentialsSource: 'USER_INFO', userInfo: `${basic.username}:${basic.password}` },
    }),
  })
}

/** What the registry says against the request itself; undefined where it is out of reach, busy, or does not know us. */
function refusal(error: unknown): string | undefined {
  if (!(error instanceof Error && 'status' in error && typeof error.status === 'number')) return undefined
  const { status, message } = error
  return status >= 400 && status < 500 && ![401, 403, 408, 429].includes(status) ? message : undefined
}

function fullName({ name, avro }: Schema<unknown>): string {
  const namespace = typeof avro === 'object' && avro !== null && 'namespace' in avro ? avro.namespace : undefined
  return typeof namespace === 'string' ? `${namespace}.${name}` : name
}
