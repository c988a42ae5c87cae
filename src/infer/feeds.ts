import type { Row } from '../ports.ts'
import type { TensorData } from '../onnx/session.ts'
import { greedyRow } from '../row.ts'
import { paddedWidth } from './buckets.ts'
import type { Kind } from './lora-slots.ts'
import type { KindSize, ResidentLoras, Slots } from './resident-loras.ts'
import type { RopeTable } from './rope-table.ts'
import type { StopAutomata } from './stopping.ts'
import { uniforms } from './uniforms.ts'

type KindSizes = ReadonlyMap<Kind, KindSize>

export type Feeds = Readonly<Record<string, TensorData>>

/** A row that is ready to run. */
export type PreparedRow = {
  readonly row: Row
  readonly tokens: readonly number[]
  /** Slots of its LoRAs and the weight of each LoRA; none is the base alone. */
  readonly mix: readonly { readonly slots: Slots; readonly weight: number }[]
}

/** A row that fills a bucket up: over with its first token, which nobody reads. */
export const FILLING: PreparedRow = { row: greedyRow([0], 1), tokens: [0], mix: [] }

/** The graph's inputs for prompts alone: tokens `[b, t]` padded on the right, and rope tables for `positions`. */
export function promptFeeds(prompts: readonly (readonly number[])[], positions: number, rope: RopeTable): Feeds {
  const width = paddedWidth(Math.max(...prompts.map(({ length }) => length)))
  const padded = new BigInt64Array(prompts.length * width)
  prompts.forEach((tokens, row) => tokens.forEach((token, place) => (padded[row * width + place] = BigInt(token))))
  return { tokens: { type: 'int64', data: padded, dims: [prompts.length, width] }, ...rope(Math.max(positions, width)) }
}

/** The inputs that say how each row goes on and ends; `vocabulary` stands for "no top-k". */
export function decodingFeeds(rows: readonly PreparedRow[], stops: StopAutomata, vocabulary: number): Feeds {
  const steps = Math.max(...rows.map(({ row }) => row.maxTokens))
  const random = new Float32Array(rows.length * steps)
  rows.forEach(({ row }, place) => {
    if (row.temperature > 0) random.set(uniforms(row.seed, row.maxTokens), place * steps)
  })
  return {
    lengths: int64(rows.map(({ tokens }) => tokens.length)),
    limits: int64(rows.map(({ row }) => row.maxTokens)),
    steps: scalar(steps),
    stopTable: { type: 'int16', data: stops.table, dims: [stops.states, vocabulary] },
    stopState: int64(stops.start),
    sampled: flag(rows.some(({ row }) => row.temperature > 0)),
    temperature: float32(rows.map(({ row }) => row.temperature)),
    topP: float32(rows.map(({ row }) => row.topP)),
    topK: int64(rows.map(({ row }) => (row.topK === 0 ? vocabulary : row.topK))),
    uniforms: { type: 'float32', data: random, dims: [rows.length, steps] },
  }
}

/** The slot tables of `kinds`. */
export function tableFeeds(kinds: readonly Kind[], resident: ResidentLoras, sizes: KindSizes): Feeds {
  const feeds: Record<string, TensorData> = {}
  for (const kind of kinds) {
    const { a, b, capacity } = resident.table(kind)
    const { in: inner, out } = sizes.get(kind) ?? { in: 1, out: 1 }
    feeds[`${kind}.a`] = table(a, inner)
    feeds[`${kind}.b`] = table(b, out)
    feeds[`${kind}.capacity`] = scalar(capacity)
  }
  return feeds
}

/** An empty table has one row of zeros: where no adapter sits on a kind that the graph knows, rows are filled up with slot 0. */
function table(data: Float32Array, width: number): TensorData {
  const values = data.length === 0 ? new Float32Array(width) : data
  return { type: 'float32', data: values, dims: [values.length / width, width] }
}

/** Whether any row of the run has a LoRA at all. */
export const adaptedFeed = (mixes: readonly PreparedRow['mix'][]): Feeds => ({
  adapted: flag(mixes.some(mix => mix.length > 0)),
})

/** The widths of a run's buckets, and where `mixes` are there, which buckets have LoRAs. */
export function bucketFeeds(widths: readonly number[], mixes: readonly PreparedRow['mix'][] | null): Feeds {
  if (mixes === null) return { 'buckets.widths': int64(widths) }
  const rows = mixes.length / widths.length
  const adapted = widths.map((_, bucket) =>
    mixes.slice(bucket * rows, (bucket + 1) * rows).some(({ length }) => length > 0),
  )
  return {
    'buckets.widths': int64(widths),
    'buckets.adapted': { type: 'bool', data: Uint8Array.from(adapted, Number), dims: [widths.length] },
  }
}

const int64 = (values: readonly number[]): TensorData => ({
  type: 'int64',
  data: BigInt64Array.from(values, BigInt),
  dims: [values.length],
})

const float32 = (values: readonly number[]): TensorData => ({
  type: 'float32',
  data: Float32Array.from(values),
  dims: [values.length],
})

const scalar = (value: number): TensorData => ({ type: 'int64', data: BigInt64Array.of(BigInt(value)), dims: [] })

const flag = (value: boolean): TensorData => ({ type: 'bool', data: Uint8Array.of(value ? 1 : 0), dims: [] })
