import type { LoraWeights } from '../hf/peft.ts'
import type { LoraModules } from './resident-loras.ts'

/**
 * The weights of a LoRA of parts. One part of weight 1 is the adapter itself. Several are A = Σ wⱼ√sⱼ·Aⱼ and
 * B = Σ wⱼ√sⱼ·Bⱼ at scale 1, ranks padded with zeros, a module that a part lacks counting as zeros (CONTRACT, FUSION).
 */
export function fuse(parts: readonly { readonly modules: LoraModules; readonly weight: number }[]): LoraModules {
  const [only] = parts
  if (only !== undefined && parts.length === 1 && only.weight === 1) return only.modules
  const names = new Set(parts.flatMap(({ modules }) => [...modules.keys()]))
  return new Map(
    [...names].map(name => [
      name,
      sum(
        parts.flatMap(({ modules, weight }) => {
          const weights = modules.get(name)
          return weights === undefined ? [] : [{ ...weights, factor: weight * Math.sqrt(weights.scale) }]
        }),
      ),
    ]),
  )
}

function sum(terms: readonly (LoraWeights & { readonly factor: number })[]): LoraWeights {
  const rank = Math.max(...terms.map(term => term.rank))
  const [inner, out] = [
    (terms[0]?.a.length ?? 0) / (terms[0]?.rank ?? 1),
    (terms[0]?.b.length ?? 0) / (terms[0]?.rank ?? 1),
  ]
  const a = new Float32Array(rank * inner)
  const b = new Float32Array(out * rank)
  for (const term of terms) {
    for (let i = 0; i < term.a.length; i++) a[i] = (a[i] ?? 0) + term.factor * (term.a[i] ?? 0)
    for (let o = 0; o < out; o++) {
      for (let r = 0; r < term.rank; r++) {
        const place = o * rank + r
        b[place] = (b[place] ?? 0) + term.factor * (term.b[o * term.rank + r] ?? 0)
      }
    }
  }
  return { a, b, rank, scale: 1 }
}
