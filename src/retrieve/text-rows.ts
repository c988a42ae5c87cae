import { DenseRows } from './dense-rows.ts'
import { PLACES, type TextVector } from './text-vectors.ts'

/** Inner products with many texts: of what few of them have, those that have it are looked up. */
export type TextRows = {
  /** With the texts before `end`, in their order. */
  products(vector: TextVector, end: number): Float64Array
}

/** A place that so large a share of the texts has is sooner multiplied for all of them than looked up. */
const COMMON = 0.25

export function textRows(texts: readonly TextVector[]): TextRows {
  /** Where the texts begin that have a place; those that have the next one follow. */
  const starts = new Uint32Array(PLACES + 1)
  for (const { ids } of texts)
    for (let at = 0; at < ids.length; at += 1) {
      const next = (ids[at] ?? 0) + 1
      starts[next] = (starts[next] ?? 0) + 1
    }
  // The most frequent come first.
  const common = starts.findIndex((count, next) => next > 0 && count <= COMMON * texts.length) - 1
  starts.fill(0, 0, common + 1)
  for (let id = 0; id < PLACES; id += 1) starts[id + 1] = (starts[id + 1] ?? 0) + (starts[id] ?? 0)

  const dense = new DenseRows(Float64Array, common)
  const slots = texts.map(text => dense.put(denseOf(text)))
  const having = new Uint32Array(starts[PLACES] ?? 0)
  const numbers = new Float32Array(having.length)
  const next = starts.slice()
  for (const [text, { ids, values }] of texts.entries())
    for (let at = 0; at < ids.length; at += 1) {
      const id = ids[at] ?? 0
      if (id < common) continue
      const place = next[id] ?? 0
      having[place] = text
      numbers[place] = values[at] ?? 0
      next[id] = place + 1
    }

  return {
    products(vector, end) {
      const products = dense.products(denseOf(vector), slots.slice(0, end))
      addRare(products, vector)
      return products
    },
  }

  function denseOf({ ids, values }: TextVector): Float64Array {
    const row = new Float64Array(common)
    for (let at = 0; at < ids.length; at += 1) {
      const id = ids[at] ?? 0
      if (id < common) row[id] = values[at] ?? 0
    }
    return row
  }

  function addRare(products: Float64Array, { ids, values }: TextVector): void {
    for (let at = 0; at < ids.length; at += 1) {
      const id = ids[at] ?? 0
      const value = values[at] ?? 0
      if (id < common) continue
      const last = starts[id + 1] ?? 0
      for (let place = starts[id] ?? 0; place < last; place += 1) {
        const text = having[place] ?? 0
        if (text >= products.length) break
        products[text] = (products[text] ?? 0) + value * (numbers[place] ?? 0)
      }
    }
  }
}
