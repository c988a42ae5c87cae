import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readSamples } from '../src/adapters/samples.ts'
import { isObject } from '../src/hf/json.ts'
import { onnxEncoder } from '../src/retrieve/onnx-encoder.ts'
import { RETRIEVAL_PREFIX } from '../src/retrieve/pool.ts'
import { unitMean } from '../src/retrieve/vectors.ts'
import { tsne } from './tsne.ts'

/** `nearest` tells of a prompt whether the nearest adapter is its own. */
export type MapPoint = {
  readonly kind: 'adapter' | 'sample' | 'prompt'
  readonly adapter: string
  readonly group: string
  readonly x: number
  readonly y: number
  readonly nearest?: boolean
}

export type AdapterMap = {
  readonly encoder: string
  readonly method: string
  readonly points: readonly MapPoint[]
}

type Labelled = Omit<MapPoint, 'x' | 'y'> & { readonly vector: Float32Array }

const PERPLEXITY = 15
const ITERATIONS = 800
const SEED = 7

/**
 * Where the adapters of a folder, their samples and the folder's `prompts.jsonl` lie in the embedding space, in two
 * dimensions. An adapter is at the unit mean of its samples, as in the pool.
 */
export async function mapOf(adapters: string, encoderDirectory: string): Promise<AdapterMap> {
  const prompts = await readPrompts(join(adapters, 'prompts.jsonl'))
  const groups = new Map(prompts.map(({ adapter, group }) => [adapter, group]))
  const encoder = await onnxEncoder(encoderDirectory)
  try {
    const encode = (texts: readonly string[]) => encoder.encode(texts.map(text => RETRIEVAL_PREFIX + text))
    const points: Labelled[] = []
    for (const entry of (await readdir(adapters, { withFileTypes: true })).toSorted((a, b) =>
      a.name < b.name ? -1 : 1,
    )) {
      const samples = entry.isDirectory() ? await readSamples(join(adapters, entry.name)) : []
      if (samples.length === 0) continue
      const [adapter, group] = [entry.name, groups.get(entry.name) ?? 'other']
      const vectors = await encode(samples)
      points.push({ kind: 'adapter', adapter, group, vector: unitMean(vectors) })
      points.push(...vectors.map(vector => ({ kind: 'sample' as const, adapter, group, vector })))
    }
    const vectors = await encode(prompts.map(({ text }) => text))
    for (const [index, { adapter, group }] of prompts.entries()) {
      const vector = vectors[index] ?? new Float32Array(0)
      points.push({ kind: 'prompt', adapter, group, vector, nearest: nearestOf(points, vector) === adapter })
    }
    const places = tsne(
      points.map(({ vector }) => vector),
      { perplexity: PERPLEXITY, iterations: ITERATIONS, seed: SEED },
    )
    return {
      encoder: encoder.facts.id,
      method: `t-SNE, perplexity ${PERPLEXITY}, ${ITERATIONS} steps`,
      points: points.map(({ kind, adapter, group, nearest }, index) => {
        const [x = 0, y = 0] = places[index] ?? []
        return { kind, adapter, group, x: rounded(x), y: rounded(y), ...(nearest !== undefined && { nearest }) }
      }),
    }
  } finally {
    await encoder.close()
  }
}

const rounded = (value: number): number => Math.round(value * 100) / 100

function nearestOf(points: readonly Labelled[], vector: Float32Array): string | undefined {
  const adapters = points.filter(({ kind }) => kind === 'adapter')
  const score = ({ vector: other }: Labelled): number =>
    vector.reduce((sum, value, index) => sum + value * (other[index] ?? 0), 0)
  return adapters.toSorted((one, other) => score(other) - score(one))[0]?.adapter
}

type LabelledPrompt = { readonly text: string; readonly adapter: string; readonly group: string }

async function readPrompts(path: string): Promise<readonly LabelledPrompt[]> {
  const lines = (await readFile(path, 'utf8')).trimEnd().split('\n')
  return lines.map((line, index) => {
    const row: unknown = JSON.parse(line)
    const { text, metadata } = isObject(row) ? row : {}
    const { task, cluster } = isObject(metadata) ? metadata : {}
    if (typeof text !== 'string' || typeof task !== 'string' || typeof cluster !== 'string')
      throw new Error(`${path} line ${index + 1}: expected text, metadata.task and metadata.cluster`)
    return { text, adapter: task, group: cluster }
  })
}
