import { ConfigError } from '../errors.ts'
import type { Hit } from '../lora.ts'
import type { Compose } from '../ports.ts'

/**
 * A strategy whose retrieved hits weigh softmax(score/τ) instead of 1/k, so that the nearest count for more. τ is in units of
 * the scorer's score. A weight that the prompt gave stays, as does one for a hit without a score. For the mixture and
 * fusion alone: adaptive and base mind no weights, and selection would take its one adapter at a share below 1.
 * Throws ConfigError for a τ that is not above 0.
 */
export function softmaxWeights(strategy: Compose, tau: number): Compose {
  if (!(tau > 0) || !Number.isFinite(tau))
    throw new ConfigError(`softmaxWeights: tau is ${tau}, expected a number above 0`)
  return hits => strategy(weighted(hits, tau))
}

function weighted(hits: readonly Hit[], tau: number): readonly Hit[] {
  const scores = hits.flatMap(({ score }) => score ?? [])
  const top = Math.max(...scores)
  const total = scores.reduce((sum, score) => sum + Math.exp((score - top) / tau), 0)
  return hits.map(hit =>
    hit.score === null || hit.weight !== undefined
      ? hit
      : { ...hit, weight: Math.exp((hit.score - top) / tau) / total },
  )
}
