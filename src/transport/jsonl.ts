import { Observable, type Subscriber } from 'rxjs'
import { ConfigError, SchemaError, toErrorData, TransportError } from '../errors.ts'
import type { Failed, Message, Origin } from '../events.ts'
import type { Schema, Settled, Sink, Transport } from '../ports.ts'
import { shorten } from './dead-letter.ts'
import { Files, type Paths } from './files.ts'
import { InFlight } from './in-flight.ts'
import { lines } from './lines.ts'
import { turns } from './turns.ts'

/** A prompt's text has at most 1 MiB, six bytes each when all of it is escaped; the rest of a prompt is small. */
const MAX_LINE_BYTES = 8 * 2 ** 20

/**
 * `input`: a file, `-` for standard input, or a stream. `output`: a file, which is written anew, `-` for standard output, or
 * a stream, which is left open. `deadLetters`: the same, for lines that are not answered, each with its reason; by default
 * they are reported only.
 */
export type JsonlOptions = Paths & {
  /** Writes the completions' token ids too. */
  readonly tokens?: boolean
  /** Called for every line that is not answered. */
  readonly report?: (failed: Failed) => void
  /** Lines open at once, by default 256, and their bytes, by default 64 MiB. */
  readonly maxInFlight?: number
  readonly maxInFlightBytes?: number
}

/**
 * JSON lines in, JSON lines out, whatever the topology calls its topics: events come from the file's name or `stdin`, their
 * offset is their line, which is also the id of one that has none. Answers are written window by window, in the order of
 * the lines; a line that is wrong costs only itself. There is nothing to commit, so a run begins at the first line. A reader
 * that goes away (EPIPE) ends the source. Throws TransportError for a file that cannot be opened, ConfigError where it
 * would overwrite its input.
 */
export function jsonl(options: JsonlOptions): Transport {
  const { maxInFlight = 256, maxInFlightBytes = 64 * 2 ** 20, report, tokens = false } = options
  const inFlight = new InFlight<Buffer>({ maxInFlight, maxInFlightBytes })
  const files = new Files(options)
  const end = new AbortController()
  let taken = false

  return { source, sink, stop, close }

  function source<T>(topic: string, schema: Schema<T>): Observable<Message<T>> {
    const { parse } = schema
    if (parse === undefined)
      throw new ConfigError(
        `topic "${topic}": schema ${schema.name} has no parse, expected one, for JSON knows no types`,
      )
    return new Observable(subscriber => {
      if (taken) throw new TransportError(`${files.name} has a source already, expected one: share it`)
      taken = true
      deliver(value => parse(value), subscriber).then(
        () => subscriber.complete(),
        (error: unknown) => subscriber.error(error),
      )
      return () => end.abort()
    })
  }

  async function deliver<T>(parse: (value: unknown) => T, subscriber: Subscriber<Message<T>>): Promise<void> {
    for await (const line of lines(files.read(end.signal), MAX_LINE_BYTES)) {
      if (end.signal.aborted) return
      const origin = { topic: files.name, partition: 0, offset: BigInt(line.number), timestamp: Date.now() }
      const message = { origin, key: null, headers: [], receivedAt: performance.now() }
      try {
        if (line.problem !== undefined) throw new SchemaError(line.problem)
        const value = parse(withId(parseJson(line.bytes), line.number))
        if (!(await inFlight.enter(origin, line.bytes.length, line.bytes))) return
        subscriber.next({ ...message, value, receivedAt: performance.now() })
      } catch (error) {
        if (!(error instanceof SchemaError)) throw error
        const reason = `${files.name} line ${line.number}: ${error.message}`
        await refuse(
          { message: { ...message, value: undefined }, stage: 'decode', code: error.code, reason },
          line.bytes,
        )
      }
    }
  }

  function sink<T>(): Sink<T> {
    const turn = turns()
    return { settle: (done, failed) => turn(() => write(done, failed)) }

    async function write(done: readonly Settled<T>[], failed: readonly Failed[]): Promise<void> {
      const letters = failed.map(one => ({ one, bytes: inFlight.kept(one.message.origin) }))
      // Written before it is settled, so that what is not written yet holds the source back.
      const text = done.map(({ value }) => `${JSON.stringify(tokens ? value : withoutTokens(value))}\n`).join('')
      if (!(await files.write('output', text))) end.abort()
      for (const { one, bytes } of letters) await refuse(one, bytes)
      inFlight.settle([...done, ...failed].map(({ message }) => message.origin))
    }
  }

  async function refuse(failed: Failed, bytes: Buffer): Promise<void> {
    report?.(failed)
    const { topic, partition, offset, timestamp }: Origin = failed.message.origin
    const { stage, code, reason } = failed
    const letter = { topic, partition, offset: Number(offset), timestamp, stage, code, message: shorten(reason) }
    const value = Buffer.from(bytes.toString()).equals(bytes)
      ? { value: bytes.toString() }
      : { base64: bytes.toString('base64') }
    await files.write('deadLetters', `${JSON.stringify({ ...letter, ...value })}\n`)
  }

  async function stop(): Promise<void> {
    end.abort()
    inFlight.close()
  }

  async function close(): Promise<void> {
    await stop()
    await files.close()
  }
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString())
  } catch (error) {
    throw new SchemaError(`not JSON: ${toErrorData(error).message}`, { cause: error })
  }
}

/** What is not an object is the schema's to refuse. */
function withId(value: unknown, line: number): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return 'id' in value && value.id !== null ? value : { ...value, id: String(line) }
}

function withoutTokens(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? { ...value, tokens: undefined } : value
}
