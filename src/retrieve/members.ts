import type { ErrorData } from '../errors.ts'
import type { Adapter, Hit } from '../lora.ts'
import type { NamedAdapter } from '../events.ts'
import type { VectorIndex } from '../ports.ts'

export type Member = { readonly adapter: Adapter; readonly samples: number }

export type Refusal = { readonly id: string; readonly error: ErrorData }

/** Ids are at most 128 characters; what a prompt names may be anything. */
const MAX_SHOWN = 128

/** Who is in the pool. Each change is one synchronous step and one epoch, so whoever looks sees it whole or not at all. */
export class Members {
  readonly #index: VectorIndex
  readonly #admitted = new Map<string, Member>()
  readonly #refused = new Map<string, ErrorData>()
  /** Adapters on their way in; one that was removed or replaced meanwhile is no longer here. */
  readonly #expected = new Map<string, Adapter>()
  #epoch = 0

  constructor(index: VectorIndex) {
    this.#index = index
  }

  get epoch(): number {
    return this.#epoch
  }

  get size(): number {
    return this.#admitted.size
  }

  /** Adapters that a search can find. */
  get searchable(): number {
    return this.#index.size
  }

  /** Announces an adapter that {@link admit} will bring. */
  expect(adapter: Adapter): void {
    this.#expected.set(adapter.id, adapter)
  }

  isExpected(adapter: Adapter): boolean {
    return this.#expected.get(adapter.id) === adapter
  }

  /** Takes an expected adapter in; without a vector it can only be named. */
  admit(adapter: Adapter, samples: number, vector: Float32Array | undefined): void {
    if (vector === undefined) this.#index.remove(adapter.id)
    else this.#index.add(adapter.id, vector)
    this.#expected.delete(adapter.id)
    this.#refused.delete(adapter.id)
    this.#admitted.set(adapter.id, { adapter, samples })
    this.#epoch += 1
  }

  refuse(id: string, error: ErrorData): void {
    this.remove(id)
    this.#refused.set(id, error)
  }

  remove(id: string): void {
    this.#expected.delete(id)
    this.#refused.delete(id)
    if (!this.#admitted.delete(id)) return
    this.#index.remove(id)
    this.#epoch += 1
  }

  /** Exactly these, or `ADAPTER_UNKNOWN` with what is known about the first that is not there. */
  named(wanted: readonly NamedAdapter[]): readonly Hit[] | ErrorData {
    const hits: Hit[] = []
    for (const { id, weight } of wanted) {
      const found = this.#admitted.get(id)
      if (found === undefined) return this.#unknown(id)
      hits.push({ adapter: found.adapter, score: null, ...(weight !== undefined && { weight }) })
    }
    return hits
  }

  nearest(vector: Float32Array, k: number, exclude: readonly string[]): readonly (Hit & { readonly score: number })[] {
    return this.#index.search(vector, k, new Set(exclude)).flatMap(({ key, score }) => {
      const found = this.#admitted.get(key)
      return found === undefined ? [] : [{ adapter: found.adapter, score }]
    })
  }

  /** In the order of their ids. */
  admitted(): readonly Member[] {
    return [...this.#admitted.values()].toSorted((one, other) => compareText(one.adapter.id, other.adapter.id))
  }

  /** In the order of their ids. */
  refused(): readonly Refusal[] {
    return [...this.#refused]
      .map(([id, error]) => ({ id, error }))
      .toSorted((one, other) => compareText(one.id, other.id))
  }

  #unknown(id: string): ErrorData {
    const refusal = this.#refused.get(id)
    const why = refusal === undefined ? 'is not in the pool' : `was refused: ${refusal.message}`
    return { code: 'ADAPTER_UNKNOWN', message: `adapter "${id.slice(0, MAX_SHOWN)}" ${why}` }
  }
}

/** By code unit, so that the order is the same in every locale. */
const compareText = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0)
