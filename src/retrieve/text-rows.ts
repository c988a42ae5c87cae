import { PLACES, type TextVector } from './text-vectors.ts'

/** Texts by what they have: a text's products with all of them touch only what it shares with each. */
export type TextRows = {
  readonly count: number
  /** Adds the inner products with the rows before `end` to `products`. */
  addProducts(vector: TextVector, products: Float64Array, end: number): void
}

/** Two texts share a quarter of what either has, so this is several times as fast as row by row. */
export function textRows(texts: readonly TextVector[]): TextRows {
  /** Where the rows that have a place begin; those of the next place follow. */
  const starts = new Uint32Array(PLACES + 1)
  for (const { ids } of texts) for (const id of ids) starts[id + 1] = (starts[id + 1] ?? 0) + 1
  for (let id = 0; id < PLACES; id += 1) starts[id + 1] = (starts[id + 1] ?? 0) + (starts[id] ?? 0)
  const rows = new Uint32Array(starts[PLACES] ?? 0)
  const numbers = new Float32Array(rows.length)
  const next = starts.slice()
  for (const [row, { ids, values }] of texts.entries())
    for (const [at, id] of ids.entries()) {
      const place = next[id] ?? 0
      rows[place] = row
      numbers[place] = values[at] ?? 0
      next[id] = place + 1
    }

  return {
    count: texts.length,
    addProducts({ ids, values }, products, end) {
      for (let at = 0; at < ids.length; at += 1) {
        const [id, value] = [ids[at] ?? 0, values[at] ?? 0]
        const last = starts[id + 1] ?? 0
        for (let place = starts[id] ?? 0; place < last; place += 1) {
          const row = rows[place] ?? 0
          if (row >= end) break
          products[row] = (products[row] ?? 0) + value * (numbers[place] ?? 0)
        }
      }
    },
  }
}
