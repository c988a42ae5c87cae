import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { TransportError, toErrorData } from '../../errors.ts'
import type { StrategyName } from '../../events.ts'
import { range, titleOf, type GenerationChoice, type GenerationResult } from './generation-result.ts'

/** A row of the table, and the name of its file. */
export type TableRow = GenerationChoice & { readonly name: string }

const uniform = { weights: 'uniform' } as const

/** The paper's table: base, perfect selection, and its three strategies with the own adapter in the pool and without; and ours. */
export const tableRows: readonly TableRow[] = [
  { name: 'perfect', mode: 'perfect', strategy: 'selection', k: 1, ...uniform },
  { name: 'base', mode: 'iid', strategy: 'base', k: 1, ...uniform },
  ...bothModes('selection', 1),
  ...bothModes('adaptive', 8),
  ...[1, 3, 5].flatMap(k => [...bothModes('mixture', k), ...bothModes('fusion', k)]),
]

function bothModes(strategy: StrategyName, k: number): readonly TableRow[] {
  const named = strategy === 'selection' ? strategy : `${strategy}-k${k}`
  return (['iid', 'ood'] as const).map(mode => ({ name: `${named}-${mode}`, mode, strategy, k, ...uniform }))
}

/** Writes a row's result as `NAME.json`, whole or not at all. Throws TransportError. */
export async function writeRow(directory: string, name: string, result: GenerationResult): Promise<void> {
  const path = join(directory, `${name}.json`)
  try {
    await mkdir(directory, { recursive: true })
    await writeFile(`${path}.part`, `${JSON.stringify(result, null, 2)}\n`)
    await rename(`${path}.part`, path)
  } catch (error) {
    throw new TransportError(`${path} cannot be written: ${toErrorData(error).message}`, { cause: error })
  }
}

/** The rows as a table in Markdown. */
export function markdownOf(results: readonly GenerationResult[]): string {
  return [
    '| strategy | score | 95 % | % of perfect selection | 95 % |',
    '| --- | --- | --- | --- | --- |',
    ...results.map(result => {
      const { overall, interval, normalised, normalisedInterval } = result
      const share =
        normalised === null || normalisedInterval === null
          ? ['-', '-']
          : [normalised.toFixed(1), range(normalisedInterval)]
      return `| ${[titleOf(result), overall.toFixed(1), range(interval), ...share].join(' | ')} |`
    }),
  ].join('\n')
}
