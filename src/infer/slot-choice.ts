import type { Phase } from './generation-inputs.ts'
import type { TensorData } from '../onnx/session.ts'
import type { Feeds, PreparedRow } from './feeds.ts'
import type { Kind } from './lora-slots.ts'

/** A slot that a row uses, and its weight. */
type Use = { readonly slot: number; readonly weight: number }

/**
 * A run's slots by kind, as lora-slots.ts takes them. In the prompt pass every row reads its own, which computes nothing
 * in vain, and the copy lasts a layer. The copies for the decode steps last as long as the steps do: where rows share
 * slots they are made once for all, which takes less memory, at the price of computing every slot for every row.
 */
export function choiceFeeds(mixes: readonly PreparedRow['mix'][], kinds: readonly Kind[], phase: Phase): Feeds {
  const feeds: Record<string, TensorData> = {}
  for (const kind of kinds) {
    const rows = mixes.map(mix =>
      mix.flatMap(({ slots, weight }) => (slots.get(kind) ?? []).map(slot => ({ slot, weight }))),
    )
    const { slots, weight, shape } = phase === 'step' && isShared(rows) ? shared(rows) : own(rows)
    feeds[`${kind}.${phase}.slots`] = { type: 'int64', data: slots, dims: shape }
    feeds[`${kind}.${phase}.weight`] = { type: 'float32', data: weight, dims: [rows.length, 1, shape[1]] }
  }
  return feeds
}

/** Copies of its own for each row may be twice what there is, not more. */
const MAX_COPIES = 2

const isShared = (rows: readonly (readonly Use[])[]): boolean =>
  rows.length * widest(rows) > MAX_COPIES * distinct(rows).length

type Choice = {
  readonly slots: BigInt64Array
  readonly weight: Float32Array
  readonly shape: readonly [number, number]
}

/** `[b, s]`, rows with fewer slots filled up with weight 0. */
function own(rows: readonly (readonly Use[])[]): Choice {
  const width = widest(rows)
  const slots = new BigInt64Array(rows.length * width)
  const weight = new Float32Array(rows.length * width)
  rows.forEach((uses, row) =>
    uses.forEach((use, place) => {
      slots[row * width + place] = BigInt(use.slot)
      weight[row * width + place] = use.weight
    }),
  )
  return { slots, weight, shape: [rows.length, width] }
}

/** `[1, s]`, every distinct slot once. */
function shared(rows: readonly (readonly Use[])[]): Choice {
  const all = distinct(rows)
  const places = new Map(all.map((slot, place) => [slot, place]))
  const weight = new Float32Array(rows.length * all.length)
  rows.forEach((uses, row) => {
    for (const use of uses) {
      const place = row * all.length + (places.get(use.slot) ?? 0)
      weight[place] = (weight[place] ?? 0) + use.weight
    }
  })
  return { slots: BigInt64Array.from(all, BigInt), weight, shape: [1, all.length] }
}

const widest = (rows: readonly (readonly Use[])[]): number => Math.max(...rows.map(({ length }) => length))

/** In the order in which the rows name them. */
const distinct = (rows: readonly (readonly Use[])[]): readonly number[] => [
  ...new Set(rows.flatMap(uses => uses.map(({ slot }) => slot))),
]
