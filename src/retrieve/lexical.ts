import { evenly } from './held-out.ts'
import { fitRidge, type Ridge, type RidgeWeights } from './ridge.ts'
import { textFeatures, type TextFeatures } from './text-features.ts'
import { dotSmall, rarityOf, textVector, type Rarity, type TextVector } from './text-vectors.ts'

/** Pools of as many samples are fitted whole, in about a second. */
const MAX_FITTED = 1024

/** In larger pools every adapter is told from so many samples of others, so that it can come by itself. */
const BACKGROUND = 512

/** Of an adapter with more samples so many are taken, evenly. */
const MAX_OF_ADAPTER = 64

/** What the fit was made of. Rows of an adapter that went meanwhile stay: they still tell others apart. */
type Fit = {
  readonly whole: boolean
  /** Adapters in the pool when it was made. */
  readonly adapters: number
  readonly rowsOf: ReadonlyMap<string, readonly number[]>
  /** Which of an adapter's samples its rows are. */
  readonly places: ReadonlyMap<string, readonly number[]>
  readonly rarity: Rarity
  readonly ridge: Ridge
  readonly weights: Map<string, RidgeWeights>
}

/** What every sample of the fit scores where it is left out. */
export type LexicalHeldOut = {
  readonly key: string
  /** Its place among the adapter's samples. */
  readonly sample: number
  /** By adapter, for all of the fit. */
  score(key: string): number
}

/**
 * Adapters told apart by the words and characters of their samples: {@link fitRidge}. Up to {@link MAX_FITTED} samples the
 * fit is of all, made anew at the first question after a change. In a larger pool, and where `fitOn` says whose samples
 * may be used, it is of some adapters, and every other one is fitted against these by itself.
 */
export class Lexical {
  readonly #fitOn: ReadonlySet<string> | undefined
  readonly #features = new Map<string, readonly TextFeatures[]>()
  readonly #places = new Map<string, readonly number[]>()
  #samples = 0
  #fit: Fit | undefined

  constructor(fitOn: ReadonlySet<string> | undefined) {
    this.#fitOn = fitOn
  }

  add(key: string, texts: readonly string[]): void {
    this.remove(key)
    const places = evenly(texts.length, MAX_OF_ADAPTER)
    const features = places.map(at => textFeatures(texts[at] ?? ''))
    this.#features.set(key, features)
    this.#places.set(key, places)
    this.#samples += features.length
    this.#changed(key)
  }

  remove(key: string): void {
    const features = this.#features.get(key)
    if (features === undefined) return
    this.#features.delete(key)
    this.#places.delete(key)
    this.#samples -= features.length
    this.#changed(key)
  }

  /** A prompt, as {@link score} takes it. */
  vector(text: string): TextVector {
    return textVector(textFeatures(text), this.#fitted().rarity)
  }

  /** About 1 for a text as the adapter's samples are, about 0 for one of another. */
  score(key: string, vector: TextVector): number {
    const { values, unit } = this.#weightsOf(key)
    return dotSmall(vector, values) * unit
  }

  /** Fits an adapter, which {@link score} would. */
  prepare(key: string): void {
    this.#weightsOf(key)
  }

  /** Adapters whose samples made the fit, in the order of their keys. */
  fitKeys(): readonly string[] {
    return [...this.#fitted().rowsOf.keys()]
  }

  heldOut(): readonly LexicalHeldOut[] {
    const { rowsOf, ridge, places } = this.#fitted()
    const keys = [...rowsOf.keys()]
    const scores = ridge.leftOut([...rowsOf.values()])
    const placeOf = new Map(keys.map((key, place) => [key, place]))
    return keys.flatMap(key =>
      (rowsOf.get(key) ?? []).map((row, at) => ({
        key,
        sample: places.get(key)?.[at] ?? at,
        score: (other: string) => scores[placeOf.get(other) ?? -1]?.[row] ?? 0,
      })),
    )
  }

  /** What stands for the fit, so that what was derived from one can tell that it is old. */
  get version(): object {
    return this.#fitted().rowsOf
  }

  #changed(key: string): void {
    const fit = this.#fit
    if (fit === undefined) return
    fit.weights.delete(key)
    const keeps =
      !fit.whole &&
      (this.#fitOn === undefined
        ? this.#features.size < 2 * fit.adapters && 2 * this.#features.size > fit.adapters && this.#samples > MAX_FITTED
        : !this.#fitOn.has(key))
    // An adapter that came back, perhaps with other samples, must not be told from its old ones.
    if (!keeps || (fit.rowsOf.has(key) && this.#features.has(key))) this.#fit = undefined
  }

  #weightsOf(key: string): RidgeWeights {
    const fit = this.#fitted()
    const known = fit.weights.get(key)
    if (known !== undefined) return known
    const own = fit.rowsOf.get(key)
    const features = this.#features.get(key) ?? []
    const weights =
      own === undefined
        ? fit.ridge.weightsFor(features.map(sample => textVector(sample, fit.rarity)))
        : fit.ridge.weightsOf(own)
    fit.weights.set(key, weights)
    return weights
  }

  #fitted(): Fit {
    return (this.#fit ??= this.#makeFit())
  }

  #makeFit(): Fit {
    const whole = this.#fitOn === undefined && this.#samples <= MAX_FITTED
    const all: TextFeatures[] = []
    const rowsOf = new Map<string, readonly number[]>()
    const limit = whole || this.#fitOn !== undefined ? MAX_FITTED : BACKGROUND
    for (const key of this.#chosen(limit)) {
      const features = this.#features.get(key) ?? []
      rowsOf.set(
        key,
        features.map((_, at) => all.length + at),
      )
      all.push(...features)
    }
    const rarity = rarityOf(all)
    const ridge = fitRidge(all.map(sample => textVector(sample, rarity)))
    const places = new Map([...rowsOf.keys()].map(key => [key, this.#places.get(key) ?? []]))
    return { whole, adapters: this.#features.size, rowsOf, places, rarity, ridge, weights: new Map() }
  }

  /** Up to `limit` samples: adapters in an order that has nothing to do with names or arrival, then by key. */
  #chosen(limit: number): readonly string[] {
    const allowed = [...this.#features.keys()].filter(key => this.#fitOn?.has(key) ?? true)
    const mixed = allowed.toSorted((one, other) => mix(one) - mix(other) || (one < other ? -1 : 1))
    const chosen: string[] = []
    let room = limit
    for (const key of mixed) {
      const count = this.#features.get(key)?.length ?? 0
      if (count > room) continue
      chosen.push(key)
      room -= count
    }
    return chosen.toSorted()
  }
}

/** Spreads keys over 32 bits. */
function mix(key: string): number {
  let state = 0x811c9dc5
  for (let at = 0; at < key.length; at += 1) state = Math.imul(state ^ key.charCodeAt(at), 0x01000193)
  return Math.imul(state ^ (state >>> 15), 0x85ebca6b) >>> 0
}
