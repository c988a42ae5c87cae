import type { Strategy, StrategyName, UsedAdapter } from '../events.ts'
import type { Hit, Part } from '../lora.ts'
import type { Compose, Composition } from '../ports.ts'

/** The base model alone, whatever was found. */
export const base: Compose = () => ({ strategy: 'BASE', mix: [], used: [] })

/**
 * The best hit alone, at weight 1 (LoraRetriever, section 3.3). A prompt that named adapters gets exactly these, at the
 * weights that it gave, else at 1/k each. No hits is the base model.
 */
export const selection: Compose = hits => {
  const named = hits.filter(hit => hit.score === null)
  const best = hits.reduce<Hit | undefined>((top, hit) => (top === undefined || beats(hit, top) ? hit : top), undefined)
  if (best === undefined) return base(hits)
  return outputsOf('SELECTION', named.length > 0 ? named : [best])
}

/**
 * The mean of the adapters' outputs: a share for each, at the weight that the prompt gave it, else at 1/k
 * (LoraRetriever, section 3.3: x' = 1/k Σ BⱼAⱼx). No hits is the base model.
 */
export const mixture: Compose = hits => (hits.length === 0 ? base(hits) : outputsOf('MIXTURE', hits))

/**
 * The mean of the adapters' parameters: one share of weight 1 whose LoRA has k parts, at the weights that the prompt
 * gave, else at 1/k (LoraRetriever, section 3.3: Θ = 1/k Σ Θⱼ). Parts stand in the order of their ids, so that rows with
 * the same set of adapters share one LoRA. No hits is the base model.
 */
export const fusion: Compose = hits => {
  if (hits.length === 0) return base(hits)
  const parts = partsOf(hits)
  const canonical = parts.toSorted(
    (one, other) => compareText(one.adapter.id, other.adapter.id) || one.weight - other.weight,
  )
  return { strategy: 'FUSION', mix: [{ lora: canonical, weight: 1 }], used: usedOf(hits, parts) }
}

/** Hits that carry this much of the weight, the heaviest first, carry all of it. */
const NUCLEUS = 0.9

/** What strangers together weigh beside an adapter that was trained for the prompt: docs/generation.md tells how it was found. */
const STRANGERS = 0.75

/** Strangers' confidences to this power are their weights among each other: softmax at eight times the calibrated temperature. */
const FLATTENING = 0.125

/**
 * The mean of the adapters' outputs under what is known of which adapter is the prompt's own: wⱼ = cⱼ + ¾(1 − Σ c)·vⱼ, with c
 * the hits' confidences and v ∝ c^⅛, Σ v = 1. A prompt whose own adapter is surely found gets it alone; the less sure, the
 * more the weights go towards a mixture, flatter and a little nearer to the base, which does better than any one adapter
 * where none was trained for the prompt. The lightest hits, together a tenth, are left out and their weight is shared by
 * the rest. Hits without confidences are the uniform mixture; so are the adapters that a prompt named.
 */
export const adaptive: Compose = hits => {
  if (hits.length === 0 || hits.some(({ score, confidence }) => score === null || confidence === undefined))
    return mixture(hits)
  const certain = sumOf(hits.map(({ confidence = 0 }) => confidence))
  // A confidence may be too small for a double; all of them may.
  const flat = hits.map(({ confidence = 0 }) => Math.max(confidence, Number.MIN_VALUE) ** FLATTENING)
  const rest = (STRANGERS * (1 - certain)) / sumOf(flat)
  const weighted = hits
    .map((hit, at) => ({ ...hit, weight: (hit.confidence ?? 0) + rest * (flat[at] ?? 0) }))
    .toSorted((one, other) => other.weight - one.weight || compareText(one.adapter.id, other.adapter.id))
  const kept = nucleus(weighted)
  // One alone is as sure as selection.
  const alone = kept.length === 1
  // Divided first, so that one alone weighs exactly 1, as with selection.
  const [whole, carried] = [alone ? 1 : weightOf(weighted), weightOf(kept)]
  return outputsOf(
    alone ? 'SELECTION' : 'MIXTURE',
    kept.map(hit => ({ ...hit, weight: (hit.weight / carried) * whole })),
  )
}

type Weighted = Hit & { readonly weight: number }

/** As few of the hits, the heaviest first, as carry {@link NUCLEUS} of the weight. */
function nucleus(hits: readonly Weighted[]): readonly Weighted[] {
  const enough = NUCLEUS * weightOf(hits)
  let carried = 0
  const last = hits.findIndex(({ weight }) => (carried += weight) >= enough)
  return hits.slice(0, last + 1)
}

const weightOf = (hits: readonly Weighted[]): number => sumOf(hits.map(({ weight }) => weight))

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0)

/** Every strategy under the name that topologies, prompts and the command line use. */
export const strategies: Readonly<Record<StrategyName, Compose>> = { base, selection, mixture, fusion, adaptive }

/** A share of one part for every hit, so that the weight stays outside the LoRA and its stack can be shared. */
function outputsOf(strategy: Strategy, hits: readonly Hit[]): Composition {
  const parts = partsOf(hits)
  const mix = parts.map(({ adapter, weight }) => ({ lora: [{ adapter, weight: 1 }], weight }))
  return { strategy, mix, used: usedOf(hits, parts) }
}

function partsOf(hits: readonly Hit[]): readonly Part[] {
  return hits.map(({ adapter, weight }) => ({ adapter, weight: weight ?? 1 / hits.length }))
}

function usedOf(hits: readonly Hit[], parts: readonly Part[]): readonly UsedAdapter[] {
  return parts.map(({ adapter, weight }, index) => ({
    id: adapter.id,
    digest: adapter.digest,
    weight,
    score: hits[index]?.score ?? null,
    rank: adapter.rank,
  }))
}

/** A higher score wins; between equal scores the earlier id, so that the choice never depends on the order of hits. */
function beats(hit: Hit, top: Hit): boolean {
  const difference = (hit.score ?? 0) - (top.score ?? 0)
  return difference > 0 || (difference === 0 && compareText(hit.adapter.id, top.adapter.id) < 0)
}

/** By code unit, so that the order is the same in every locale. */
const compareText = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0)
