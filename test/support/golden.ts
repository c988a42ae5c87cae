import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openPeft } from '../../src/hf/peft.ts'
import type { Adapter, AdapterId, Lora, Share } from '../../src/lora.ts'
import type { Batch } from '../../src/ports.ts'
import { greedyRow } from '../../src/row.ts'

/** Vectors of PyTorch and PEFT; their README says how they were made. */
export const golden = fileURLToPath(new URL('../fixtures/golden/', import.meta.url))

export type GoldenRow = {
  readonly name: string
  readonly mode: 'base' | 'selection' | 'mixture' | 'fusion'
  readonly adapters: readonly string[]
  readonly weights: readonly number[]
  readonly input_ids: readonly number[]
  readonly greedy: readonly number[]
  readonly min_margin: number
}

/** The rows that mix adapters on `tiny-llama`. */
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a fixture of this repository
export const { rows: composeRows } = JSON.parse(readFileSync(join(golden, 'compose.json'), 'utf8')) as {
  readonly rows: readonly GoldenRow[]
}

/** The batch of golden rows, each with its own mix. */
export async function goldenBatch(rows: readonly GoldenRow[], maxTokens: number): Promise<Batch> {
  const adapters = new Map<string, Adapter>()
  for (const name of new Set(rows.flatMap(row => row.adapters))) {
    const { digest, directory, rank } = await openPeft(join(golden, 'adapters', name))
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its own name
    adapters.set(name, { id: name as AdapterId, digest, directory, rank })
  }
  const part = (name: string, weight: number): Lora[number] => {
    const adapter = adapters.get(name)
    if (adapter === undefined) throw new Error(`no adapter ${name}`)
    return { adapter, weight }
  }
  const mixes = rows.map(({ mode, adapters: names, weights }): readonly Share[] => {
    const parts = names.map((name, index) => part(name, weights[index] ?? 0))
    if (mode === 'fusion') return [{ lora: parts, weight: 1 }]
    return parts.map(({ adapter, weight }) => ({ lora: [{ adapter, weight: 1 }], weight }))
  })
  const stack = mixes.flat().map(({ lora }) => lora)
  let next = 0
  return {
    rows: rows.map(row => greedyRow(row.input_ids, maxTokens)),
    stack,
    mapping: mixes.map(mix => mix.map(({ weight }) => ({ lora: next++, weight }))),
  }
}
