import { createHash } from 'node:crypto'
import { idOf } from '../../adapters/examine.ts'
import type { EngineFacts, Output } from '../../events.ts'
import type { Digest, Hit } from '../../lora.ts'
import type { Engine, Pool } from '../../ports.ts'
import { sentences } from './sentences.ts'

/** Tokens that every answer claims to have. */
const NEW_TOKENS = 32

const facts: EngineFacts = {
  name: 'stand-in',
  version: '1',
  device: 'none',
  precision: 'none',
  base: { id: 'stand-in', digest: digestOf('base') },
}

/** An engine that answers at once, every row with the same three sentences: what is measured with it is all the rest. */
export function standInEngine(): Engine {
  const output: Output = {
    text: sentences(1, 3).join('. '),
    tokens: Array.from({ length: NEW_TOKENS }, (_, index) => index),
    promptTokens: NEW_TOKENS,
    finishReason: 'LENGTH',
  }
  return { facts, run: async ({ rows }) => rows.map(() => output), close: async () => {} }
}

/** A pool in which every prompt finds the same three adapters, so that completions are as long as real ones. */
export function standInPool(): Pool {
  const hits: readonly Hit[] = ['first', 'second', 'third'].map((name, index) => ({
    adapter: { id: idOf(`${name}-adapter`), digest: digestOf(name), directory: `/${name}`, rank: 8 },
    score: 0.9 - index / 10,
  }))
  const found = { epoch: 1, size: hits.length, encoder: { id: 'stand-in', digest: digestOf('encoder') } }
  return {
    retrieve: async queries => ({ pool: found, hits: queries.map(({ k }) => hits.slice(0, k)) }),
    close: async () => {},
  }
}

function digestOf(text: string): Digest {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`
}
