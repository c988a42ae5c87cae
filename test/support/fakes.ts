import { createHash } from 'node:crypto'
import type { EngineFacts, Message, Prompt } from '../../src/events.ts'
import type { Adapter, AdapterId, Digest, Hit } from '../../src/lora.ts'
import type { Batch, Encoder, Engine, Pool, Query } from '../../src/ports.ts'

/** The digest of a text, for adapters and models that have no bytes. */
export function digestOf(text: string): Digest {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`
}

export function adapter(id: string, rank = 8): Adapter {
  // The brand is given where an id is checked; a test's ids are what it says.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return { id: id as AdapterId, digest: digestOf(id), directory: `/adapters/${id}`, rank }
}

/** A prompt as a transport hands it over. */
export function message<P extends Prompt>(value: P, offset = 0, partition = 0): Message<P> {
  const origin = { topic: 'prompts', partition, offset: BigInt(offset), timestamp: 1000 + offset }
  return { value, origin, key: null, headers: [], receivedAt: performance.now() }
}

const echoFacts: EngineFacts = {
  name: 'echo',
  version: '1',
  device: 'cpu',
  precision: 'float32',
  base: { id: 'echo-base', digest: digestOf('echo-base') },
}

/**
 * An engine without a model: answers with the prompt and the LoRAs that the row was given, `hello [0.5*a + 0.5*(b&c)]`.
 * A token is a word. A row whose text holds `refuse me` is too long; a batch with a row that holds `break the run` throws.
 */
export function echoEngine(): Engine & { readonly batches: readonly Batch[] } {
  const batches: Batch[] = []
  let closed = false
  return {
    facts: echoFacts,
    batches,
    async run(batch) {
      if (closed) throw new Error('echo is closed')
      batches.push(batch)
      const texts = batch.rows.map(({ prompt }) => ('text' in prompt ? prompt.text : prompt.tokens.join(' ')))
      if (texts.some(text => text.includes('break the run'))) throw new Error('the run broke')
      return texts.map((text, row) => {
        if (text.includes('refuse me')) return { code: 'PROMPT_TOO_LONG', message: `row of ${text.length} characters` }
        const mix = (batch.mapping[row] ?? []).map(({ lora, weight }) => {
          const names = (batch.stack[lora] ?? []).map(part => part.adapter.id).join('&')
          return `${weight}*${names.includes('&') ? `(${names})` : names}`
        })
        const words = `${text} [${mix.join(' + ')}]`.split(' ')
        const kept = words.slice(0, batch.rows[row]?.maxTokens)
        return {
          text: kept.join(' '),
          tokens: kept.map((_, index) => index),
          promptTokens: text.split(' ').length,
          finishReason: kept.length < words.length ? 'LENGTH' : 'STOP',
        }
      })
    },
    close: async () => {
      closed = true
    },
  }
}

/** An encoder without a model: counts the words of a text into as many buckets as there are dimensions, to unit length. */
export function hashEncoder(dimension = 64): Encoder {
  return {
    facts: { id: 'hash', digest: digestOf(`hash-${dimension}`), dimension },
    async encode(texts) {
      return texts.map(text => {
        const vector = new Float32Array(dimension)
        for (const word of text.toLowerCase().split(/\W+/)) {
          const bucket = createHash('sha256').update(word).digest().readUInt32LE() % dimension
          vector[bucket] = (vector[bucket] ?? 0) + 1
        }
        const length = Math.hypot(...vector)
        return vector.map(value => value / length)
      })
    },
    close: async () => {},
  }
}

/** A pool without vectors: every prompt finds its adapters in the order given, with scores 0.9, 0.8, … */
export function fixedPool(adapters: readonly Adapter[]): Pool & { readonly calls: readonly (readonly Query[])[] } {
  const calls: (readonly Query[])[] = []
  const scored: readonly Hit[] = adapters.map((found, index) => ({ adapter: found, score: 0.9 - index / 10 }))
  return {
    calls,
    async retrieve(queries) {
      calls.push(queries)
      const encoder = { id: 'none', digest: digestOf('none') }
      return { pool: { epoch: 1, size: adapters.length, encoder }, hits: queries.map(hitsOf) }
    },
    close: async () => {},
  }

  function hitsOf({
    adapters: named,
    exclude,
    k,
  }: Query): readonly Hit[] | { code: 'ADAPTER_UNKNOWN'; message: string } {
    if (named === undefined) return scored.filter(({ adapter: { id } }) => !exclude.includes(id)).slice(0, k)
    const hits: Hit[] = []
    for (const { id, weight } of named) {
      const found = adapters.find(one => one.id === id)
      if (found === undefined) return { code: 'ADAPTER_UNKNOWN', message: `adapter "${id}" is not in the pool` }
      hits.push({ adapter: found, score: null, ...(weight === undefined ? {} : { weight }) })
    }
    return hits
  }
}
