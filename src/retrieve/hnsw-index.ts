import hnswlib from 'hnswlib-node'
import type { Question, Scored, VectorIndex } from '../ports.ts'
import { checkVector } from './vectors.ts'

export type HnswOptions = {
  /** Neighbours kept for every vector; more finds more and costs more memory. */
  readonly neighbours?: number
  /** Candidates looked at while a vector is added. */
  readonly buildCandidates?: number
  /** Candidates looked at in a search, at least. */
  readonly searchCandidates?: number
}

/** hnswlib fixes its capacity until `resizeIndex`; ours doubles. */
const FIRST_CAPACITY = 256

/** Fixes the graph's levels, so that the same additions give the same index. */
const SEED = 100

/**
 * Approximate search with hnswlib, for pools of tens of thousands of adapters: a query takes about as long whatever their
 * number, an addition far longer than with `flat`. Ties come in no particular order.
 */
export function hnsw(options: HnswOptions = {}): VectorIndex {
  return new HnswIndex(options)
}

class HnswIndex implements VectorIndex {
  readonly #options: Required<HnswOptions>
  #graph: { readonly index: hnswlib.HierarchicalNSW; readonly dimension: number } | undefined
  #nextLabel = 0
  /** Slots that hold a vector or a deleted one; only the former count for `size`. */
  #slots = 0
  readonly #labelOf = new Map<string, number>()
  readonly #keyOf = new Map<number, string>()
  readonly #numbers: number[] = []

  constructor({ neighbours = 24, buildCandidates = 200, searchCandidates = 128 }: HnswOptions) {
    this.#options = { neighbours, buildCandidates, searchCandidates }
  }

  get size(): number {
    return this.#labelOf.size
  }

  add(key: string, vector: Float32Array): void {
    checkVector(vector, this.#graph?.dimension ?? vector.length, `"${key}"`)
    const { index } = (this.#graph ??= this.#open(vector.length))
    this.remove(key)
    const reuse = this.#slots > this.size
    if (!reuse) {
      if (this.#slots === index.getMaxElements()) index.resizeIndex(this.#slots * 2)
      this.#slots += 1
    }
    // A label is never used twice: hnswlib gives the slot of a deleted vector to the new label.
    const label = this.#nextLabel
    this.#nextLabel += 1
    index.addPoint(this.#listed(vector), label, reuse)
    this.#labelOf.set(key, label)
    this.#keyOf.set(label, key)
  }

  remove(key: string): void {
    const label = this.#labelOf.get(key)
    if (label === undefined) return
    this.#graph?.index.markDelete(label)
    this.#labelOf.delete(key)
    this.#keyOf.delete(label)
  }

  search(questions: readonly Question[]): readonly (readonly Scored[])[] {
    return questions.map(question => this.#nearest(question))
  }

  #nearest({ vector, k, skip }: Question): readonly Scored[] {
    if (this.#graph === undefined) return []
    const { index, dimension } = this.#graph
    checkVector(vector, dimension, 'a query')
    // Asking for more and dropping what is skipped keeps recall; a filter would cut paths through the graph.
    const skipped = [...skip].filter(key => this.#labelOf.has(key)).length
    const wanted = Math.min(this.size, k + skipped)
    if (wanted <= skipped) return []
    index.setEf(Math.max(this.#options.searchCandidates, wanted * 2))
    const { neighbors, distances } = index.searchKnn(this.#listed(vector), wanted)
    return neighbors
      .map((label, place) => ({ key: this.#keyOf.get(label) ?? '', score: 1 - (distances[place] ?? 1) }))
      .filter(({ key }) => !skip.has(key))
      .slice(0, k)
  }

  /** As hnswlib takes vectors, until the next is listed: `Array.from` makes an object of every number. */
  #listed(vector: Float32Array): number[] {
    for (let at = 0; at < vector.length; at += 1) this.#numbers[at] = vector[at] ?? 0
    return this.#numbers
  }

  #open(dimension: number): { readonly index: hnswlib.HierarchicalNSW; readonly dimension: number } {
    const index = new hnswlib.HierarchicalNSW('ip', dimension)
    const { neighbours, buildCandidates } = this.#options
    index.initIndex(FIRST_CAPACITY, neighbours, buildCandidates, SEED, true)
    return { index, dimension }
  }
}
