import type { OperatorFunction } from 'rxjs'
import { ConfigError, StageError } from '../errors.ts'
import type { Message, Placed, Prompt, Retrieved, Window } from '../events.ts'
import type { Hit } from '../lora.ts'
import type { Pool, Query } from '../ports.ts'
import { stage } from '../stage.ts'

/** As many adapters as a prompt may name; each costs a pass through its matrices. */
const MAX_K = 64
const DEFAULT_K = 3

export type RetrieveOptions = {
  /** Adapters for every prompt that does not say: 0 is none, by default 3. */
  readonly k?: number
  /** Hits that score less, in units of the pool's scorer, are left out; with none left, the base answers alone. By default all stay. */
  readonly minScore?: number
}

/**
 * Finds adapters for every prompt of a window, in one call of the pool, so that all are from one epoch. A prompt's own
 * `adapters`, `exclude` and `k` go before the options. Throws ConfigError for options out of range.
 */
export function retrieve<P extends Prompt>(
  pool: Pool,
  options: RetrieveOptions = {},
): OperatorFunction<Window<Placed<P>>, Window<Retrieved<P>>> {
  const { k = DEFAULT_K, minScore = -Infinity } = options
  if (!Number.isInteger(k) || k < 0 || k > MAX_K)
    throw new ConfigError(`retrieve: k is ${k}, expected an integer from 0 to ${MAX_K}`)
  if (Number.isNaN(minScore)) throw new ConfigError('retrieve: minScore is NaN, expected a number')

  return stage('retrieve', async (items: readonly Placed<P>[]) => {
    const found = await pool.retrieve(items.map(item => toQuery(item, k)))
    return items.map((item, row) => {
      const hits = found.hits[row]
      if (hits === undefined) throw new StageError(`the pool answered ${found.hits.length} of ${items.length} queries`)
      return 'code' in hits ? hits : { ...item, hits: hits.filter(reaches(minScore)), pool: found.pool }
    })
  })
}

function toQuery({ value: { text, k, exclude = [], adapters, strategy } }: Message<Prompt>, topology: number): Query {
  // A prompt that asks for a mix gets one where the topology, being for the base alone, retrieves nothing.
  const byDefault = topology === 0 && strategy !== undefined ? DEFAULT_K : topology
  const query = { text, k: strategy === 'base' ? 0 : (k ?? byDefault), exclude }
  return adapters === undefined ? query : { ...query, adapters }
}

/** A named adapter has no score, and stays. */
function reaches(minScore: number): (hit: Hit) => boolean {
  return ({ score }) => score === null || score >= minScore
}
