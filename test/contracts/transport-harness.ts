import assert from 'node:assert/strict'
import { test } from 'node:test'
import { firstValueFrom, take, toArray, type Observable } from 'rxjs'
import { SchemaError } from '../../src/errors.ts'
import type { Message } from '../../src/events.ts'
import type { Codec, RawRecord, Schema, Transport } from '../../src/ports.ts'

/** Topics that outlive the transports on them: a broker, or what stands for one. Every test has its own. */
export type TransportHarness = {
  readonly codec: Codec
  /** A transport of one group. A second one is opened after the first is closed, as after a crash. */
  open(options: { readonly deadLetters?: string; readonly maxInFlight?: number }): Promise<Transport>
  /** Appends records to partition 0 of a topic, or to the one given. */
  append(topic: string, records: readonly RawRecord[], partition?: number): Promise<void>
  /** What a reader of committed records sees, in the order of each partition. */
  records(topic: string): Promise<readonly RawRecord[]>
  close(): Promise<void>
}

export type Note = { readonly text: string }
export const note: Schema<Note> = {
  name: 'Note',
  avro: { type: 'record', name: 'Note', fields: [{ name: 'text', type: 'string' }] },
  parse: value => {
    if (typeof value === 'object' && value !== null && 'text' in value && typeof value.text === 'string') {
      if (value.text !== 'bad') return { text: value.text }
      throw new SchemaError('Note.text is "bad", expected anything else')
    }
    throw new SchemaError('Note is something else')
  },
}

/** A test that begins with topics of its own and leaves none. */
export type Check = (title: string, body: (topics: TransportHarness) => Promise<void>) => void

export function checks(name: string, make: () => Promise<TransportHarness>): Check {
  return (title, body) =>
    void test(`${name}: ${title}`, async t => {
      const topics = await make()
      t.after(() => topics.close())
      await body(topics)
    })
}

export function receive(transport: Transport, count: number): Promise<Message<Note>[]> {
  return all(transport.source('in', note).pipe(take(count)))
}

export function all<T>(source: Observable<T>): Promise<T[]> {
  return firstValueFrom(source.pipe(toArray()))
}

export async function notes(topics: TransportHarness, values: readonly string[]): Promise<readonly RawRecord[]> {
  return Promise.all(values.map(text => encoded(topics, text)))
}

export async function encoded(topics: TransportHarness, text: string): Promise<RawRecord> {
  return { key: null, value: await topics.codec('in', note).encode({ text }), headers: [] }
}

export function answerTo(message: Message<Note> | undefined): { value: Note; message: Message<Note> } {
  assert.ok(message)
  return { value: { text: `answer to ${message.value.text}` }, message }
}

export function texts(messages: readonly Message<Note>[]): readonly string[] {
  return messages.map(({ value }) => value.text)
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

export function plain(record: Pick<RawRecord, 'key' | 'headers'> | undefined): {
  key: string | null
  headers: [string, string][]
} {
  assert.ok(record)
  return {
    key: record.key === null ? null : textOf(record.key),
    headers: record.headers.map(([header, value]) => [header, textOf(value)]),
  }
}

export function textOf(value: Uint8Array): string {
  return new TextDecoder().decode(value)
}
