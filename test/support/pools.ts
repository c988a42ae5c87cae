import type { TestContext } from 'node:test'
import { Observable, Subject } from 'rxjs'
import type { AdapterChange, AdapterSource, Encoder, Query, Retrieval } from '../../src/ports.ts'
import { openPool, type OpenPool, type PoolOptions } from '../../src/retrieve/pool.ts'
import { adapter, hashEncoder } from './fakes.ts'

/** An adapter that came, with its samples. */
export const added = (id: string, ...samples: readonly string[]): AdapterChange => ({
  type: 'added',
  adapter: adapter(id),
  samples,
})
/** A query for three adapters, unless it says otherwise. */
export const query = (text: string, options: Partial<Query> = {}): Query => ({ text, k: 3, exclude: [], ...options })
/** Everything was told. */
export const caughtUp: AdapterChange = { type: 'caught-up' }

/** What a retrieval found, as ids, and the code where there is an error. */
export const idsOf = (found: Retrieval): readonly (readonly string[] | string)[] =>
  found.hits.map(hits => ('code' in hits ? hits.code : hits.map(hit => hit.adapter.id)))

/** A source that tells what the test has it tell. */
export function script(
  ...before: readonly AdapterChange[]
): AdapterSource & { readonly told: Subject<AdapterChange>; closed: boolean } {
  const told = new Subject<AdapterChange>()
  return {
    told,
    closed: false,
    changes: new Observable(subscriber => {
      for (const change of before) subscriber.next(change)
      return told.subscribe(subscriber)
    }),
    async close() {
      this.closed = true
    },
  }
}

/** Does nothing. */
export const nothing = (): void => undefined

/** The hash encoder, remembering its texts; `hold` makes the next calls wait until they are let go. */
export function watchedEncoder(): Encoder & { readonly texts: string[]; hold(): () => void; closed: boolean } {
  const encoder = hashEncoder(256)
  const texts: string[] = []
  let gate: Promise<void> = Promise.resolve()
  return {
    ...encoder,
    texts,
    closed: false,
    hold() {
      let release = nothing
      gate = new Promise(resolve => (release = resolve))
      return release
    },
    async encode(given) {
      texts.push(...given)
      await gate
      if (given.some(text => text.includes('poison'))) throw new Error('the encoder broke')
      return await encoder.encode(given)
    },
    async close() {
      this.closed = true
    },
  }
}

/** A pool that is closed after the test. */
export async function openFor(
  t: TestContext,
  options: Partial<PoolOptions> & Pick<PoolOptions, 'source'>,
): Promise<OpenPool> {
  const pool = await openPool({ encoder: hashEncoder(256), ...options })
  t.after(() => pool.close())
  return pool
}

/** Lets everything that is ready to run have its turn. */
export const settled = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** Four adapters that share few words, one of them without samples. */
export const zoo = [
  added('weather', 'will it rain today', 'is it windy today', 'how warm is it today'),
  added('sums', 'add two and three', 'what is four times five'),
  added('rhymes', 'a word that rhymes with moon', 'what rhymes with cat'),
  added('silent'),
] as const
