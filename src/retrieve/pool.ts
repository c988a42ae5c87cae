import type { Subscription } from 'rxjs'
import { ConfigError, StageError, toErrorData } from '../errors.ts'
import type { PoolFacts } from '../events.ts'
import type {
  AdapterChange,
  AdapterSource,
  Encoder,
  Pool,
  Query,
  Retrieval,
  Sample,
  Scorer,
  VectorIndex,
} from '../ports.ts'
import { hybrid } from './hybrid.ts'
import { Members, type Member, type Refusal } from './members.ts'
import { encodeTexts, vectorsOf } from './sample-vectors.ts'
import type { VectorCache } from './vector-cache.ts'

/** The instruction that LoraRetriever encodes with every prompt and every sample (section 3.2 of the paper, and its code). */
export const RETRIEVAL_PREFIX = 'Represent the sentence for similar task retrieval: '

export type PoolOptions = {
  readonly source: AdapterSource
  readonly encoder: Encoder | Promise<Encoder>
  /** How prompts and adapters are compared. Empty, and this pool's alone. By default `hybrid()`. */
  readonly scorer?: Scorer
  /** The default scorer's index: empty, and this pool's alone. By default exact search. */
  readonly index?: VectorIndex
  /** Where vectors of samples are kept between runs. By default they are encoded at each start. */
  readonly cache?: VectorCache
  /** Put before every text that is encoded. */
  readonly prefix?: string
  /** Told after a change was applied. An adapter whose samples cannot be encoded is told as refused. */
  readonly onChange?: (change: AdapterChange) => void
}

/** A pool, and what is in it. */
export type OpenPool = Pool & { describe(): PoolDescription }

export type PoolDescription = {
  readonly facts: PoolFacts
  /** Without samples an adapter serves only the prompts that name it. */
  readonly adapters: readonly Member[]
  readonly refused: readonly Refusal[]
  /** Adapters whose vectors were taken from the cache and that were encoded anew; `error` is why some could not be kept. */
  readonly vectors: { readonly cached: number; readonly encoded: number; readonly error?: string }
}

/**
 * Opens a pool: resolves once the source has caught up and every adapter with samples can be retrieved. Follows the
 * source from then on, an epoch for each change. Owns the source and the encoder and closes them with itself.
 * @throws what the source or the encoder fail with while it opens.
 */
export async function openPool(options: PoolOptions): Promise<OpenPool> {
  let pool: FollowingPool | undefined
  try {
    pool = new FollowingPool(options, await options.encoder)
    await pool.catchUp()
    return pool
  } catch (error) {
    const closing = pool === undefined ? closeParts(options.source, options.encoder) : pool.close()
    await Promise.allSettled([closing])
    throw error
  }
}

async function closeParts(source: AdapterSource, encoder: Encoder | Promise<Encoder>): Promise<void> {
  await source.close()
  await (await encoder).close()
}

class FollowingPool implements OpenPool {
  readonly #source: AdapterSource
  readonly #encoder: Encoder
  readonly #cache: VectorCache | undefined
  readonly #prefix: string
  readonly #onChange: ((change: AdapterChange) => void) | undefined
  readonly #members: Members
  #following: Subscription | undefined
  #steps: Promise<void> = Promise.resolve()
  /** Steps that are not done yet. */
  #waiting = 0
  #caughtUp = false
  #vectors: PoolDescription['vectors'] = { cached: 0, encoded: 0 }
  #failure: { readonly cause: unknown } | undefined

  constructor(options: PoolOptions, encoder: Encoder) {
    const { source, scorer, index, cache, prefix = RETRIEVAL_PREFIX, onChange } = options
    if (scorer !== undefined && index !== undefined)
      throw new ConfigError('openPool: scorer and index are both given, expected the index as an option of the scorer')
    this.#source = source
    this.#encoder = encoder
    this.#cache = cache
    this.#prefix = prefix
    this.#onChange = onChange
    this.#members = new Members(scorer ?? hybrid({ index }))
  }

  /** Follows the source; resolves when everything that it told until `caught-up` is in. */
  async catchUp(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#following = this.#source.changes.subscribe({
        next: change => {
          this.#apply(change)
          if (change.type !== 'caught-up') return
          this.#caughtUp = true
          void this.#follow(() => undefined).then(() =>
            this.#failure === undefined ? resolve() : reject(this.#failure.cause),
          )
        },
        error: (cause: unknown) => {
          this.#failure = { cause }
          reject(cause)
        },
        complete: () => reject(new StageError('the source of adapters ended before it had told what is there')),
      })
    })
  }

  async retrieve(queries: readonly Query[]): Promise<Retrieval> {
    const searched = this.#members.searchable === 0 ? [] : queries.filter(isSearch)
    const texts = [...new Set(searched.map(query => query.text))]
    const vectors = texts.length === 0 ? [] : await this.#encode(texts)
    if (vectors.length > 0) await this.#members.prepared()
    // Nothing is awaited from here on, so all answers and the facts are of one epoch.
    if (this.#failure !== undefined) {
      throw new StageError('the pool no longer follows its source of adapters', this.#failure)
    }
    const vectorOf = new Map(texts.map((text, row) => [text, vectors[row]]))
    const questions = searched.flatMap(query => {
      const vector = vectorOf.get(query.text)
      return vector === undefined ? [] : [{ query, vector }]
    })
    const found = this.#members.nearest(questions.map(({ query, vector }) => ({ ...query, vector })))
    const hitsOf = new Map(questions.map(({ query }, at) => [query, found[at]]))
    return {
      pool: this.#facts(),
      hits: queries.map(query =>
        query.adapters === undefined ? (hitsOf.get(query) ?? []) : this.#members.named(query.adapters),
      ),
    }
  }

  describe(): PoolDescription {
    const [adapters, refused] = [this.#members.admitted(), this.#members.refused()]
    return { facts: this.#facts(), adapters, refused, vectors: this.#vectors }
  }

  async close(): Promise<void> {
    this.#following?.unsubscribe()
    await closeParts(this.#source, this.#encoder)
  }

  #facts(): PoolFacts {
    const { id, digest } = this.#encoder.facts
    return { epoch: this.#members.epoch, size: this.#members.size, encoder: { id, digest } }
  }

  /** Removals count at once, also while samples are being encoded: the bytes are no longer there to be served. */
  #apply(change: AdapterChange): void {
    if (change.type === 'added') {
      this.#members.expect(change.adapter)
      void this.#follow(() => this.#admit(change))
      return
    }
    if (change.type === 'removed') this.#members.remove(change.id)
    if (change.type === 'refused') this.#members.refuse(change.id, change.error)
    if (change.type !== 'caught-up') void this.#follow(() => undefined)
    this.#onChange?.(change)
  }

  /**
   * One step after the other, so that prompts find the encoder free in between. After the last of those that came together does
   * what the next question would wait for, but not before all that is there has come.
   */
  #follow(step: () => Promise<void> | undefined): Promise<void> {
    this.#waiting += 1
    this.#steps = this.#steps
      .then(step)
      .then(async () => {
        if (this.#waiting === 1 && this.#caughtUp && this.#following?.closed !== true) await this.#members.prepare()
      })
      .catch((cause: unknown) => {
        this.#failure ??= { cause }
      })
      .finally(() => {
        this.#waiting -= 1
      })
    return this.#steps
  }

  async #admit(change: Extract<AdapterChange, { readonly type: 'added' }>): Promise<void> {
    const { adapter, samples } = change
    const isWanted = (): boolean => this.#following?.closed === false && this.#members.isExpected(adapter)
    try {
      if (!isWanted()) return
      const vectors = samples.length === 0 ? [] : await this.#vectorsOf(samples)
      if (!isWanted()) return
      this.#members.admit(adapter, vectors)
    } catch (error) {
      if (isWanted()) this.#apply({ type: 'refused', id: adapter.id, error: toErrorData(error) })
      return
    }
    this.#onChange?.(change)
  }

  async #vectorsOf(samples: readonly string[]): Promise<readonly Sample[]> {
    const how = { encoder: this.#encoder, prefix: this.#prefix, cache: this.#cache }
    const { samples: found, from, error } = await vectorsOf(samples, how)
    const { cached, encoded } = this.#vectors
    this.#vectors = {
      ...this.#vectors,
      ...(from === 'cache' ? { cached: cached + 1 } : { encoded: encoded + 1 }),
      ...(error !== undefined && { error }),
    }
    return found
  }

  async #encode(texts: readonly string[]): Promise<readonly Float32Array[]> {
    return await encodeTexts(texts, { encoder: this.#encoder, prefix: this.#prefix })
  }
}

/** Named adapters are taken as they are, and k = 0 asks for none: neither needs a vector. */
const isSearch = (query: Query): boolean => query.adapters === undefined && query.k > 0
