import { evenly } from './held-out.ts'
import { reused } from './reused.ts'
import { fitRidge, type Ridge } from './ridge.ts'
import { Steps } from './steps.ts'
import { passingFeatures, textFeatures, type TextFeatures } from './text-features.ts'
import { rarityOf, sizeOf, textVector, type Rarity, type TextVector } from './text-vectors.ts'
import { WeightRows } from './weight-rows.ts'

/** Pools of as many samples are fitted whole, in a fraction of a second. */
const MAX_FITTED = 1024

/** In larger pools every adapter is told from so many samples of others, so that it can come by itself. */
const BACKGROUND = 512

/** Of an adapter with more samples so many are taken, evenly. */
const MAX_OF_ADAPTER = 64

/** What a fit is made of. Rows of an adapter that went meanwhile stay: they still tell others apart. */
type Fit = {
  readonly whole: boolean
  /** Adapters in the pool when it was begun. */
  readonly adapters: number
  readonly rowsOf: ReadonlyMap<string, readonly number[]>
  /** Which of an adapter's samples its rows are. */
  readonly places: ReadonlyMap<string, readonly number[]>
  readonly made: Steps<{ readonly rarity: Rarity; readonly ridge: Ridge }>
  /** Where the weights of adapters stand that were asked for. */
  readonly weights: Map<string, number>
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
  readonly #weights = new WeightRows()
  readonly #slots = reused(Int32Array)
  readonly #ids = reused(Uint16Array)
  readonly #values = reused(Float32Array)
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

  /** For each adapter about 1 where the text is as its samples are, about 0 where it is of another; until others are asked for. */
  scores(keys: readonly string[], text: string): Float32Array {
    const { weights, made } = this.#fitted()
    const features = passingFeatures(text)
    const size = sizeOf(features)
    const { rarity } = made.finish()
    const vector = textVector(features, rarity, { ids: this.#ids(size), values: this.#values(size) })
    const slots = this.#slots(keys.length)
    for (let at = 0; at < keys.length; at += 1) {
      const key = keys[at] ?? ''
      slots[at] = weights.get(key) ?? this.#weightsOf(key)
    }
    return this.#weights.products(vector, slots)
  }

  /** Does what {@link scores} would, in steps, for all adapters. */
  *prepare(): Generator<void, void> {
    if (this.#features.size === 0) return
    yield* this.#fitted().made.rest()
    for (const key of this.#features.keys()) {
      this.#weightsOf(key)
      yield
    }
  }

  /** Adapters whose samples make the fit, in the order of their keys. */
  fitKeys(): readonly string[] {
    return [...this.#fitted().rowsOf.keys()]
  }

  heldOut(): readonly LexicalHeldOut[] {
    const { rowsOf, made, places } = this.#fitted()
    const { ridge } = made.finish()
    const scores = new Map([...rowsOf].map(([key, rows]) => [key, ridge.leftOut(rows)]))
    return [...rowsOf].flatMap(([key, rows]) =>
      rows.map((row, at) => ({
        key,
        sample: places.get(key)?.[at] ?? at,
        score: (other: string) => scores.get(other)?.[row] ?? 0,
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
    this.#forget(fit, key)
    const keeps =
      !fit.whole &&
      (this.#fitOn === undefined
        ? this.#features.size < 2 * fit.adapters && 2 * this.#features.size > fit.adapters && this.#samples > MAX_FITTED
        : !this.#fitOn.has(key))
    // An adapter that came back, perhaps with other samples, must not be told from its old ones.
    if (keeps && !(fit.rowsOf.has(key) && this.#features.has(key))) return
    for (const known of fit.weights.keys()) this.#forget(fit, known)
    this.#fit = undefined
  }

  #forget({ weights }: Fit, key: string): void {
    const slot = weights.get(key)
    if (slot !== undefined) this.#weights.drop(slot)
    weights.delete(key)
  }

  #weightsOf(key: string): number {
    const { weights, rowsOf, made } = this.#fitted()
    const known = weights.get(key)
    if (known !== undefined) return known
    const { ridge, rarity } = made.finish()
    const own = rowsOf.get(key)
    const features = this.#features.get(key) ?? []
    const slot = this.#weights.put(
      own === undefined ? ridge.weightsFor(features.map(sample => textVector(sample, rarity))) : ridge.weightsOf(own),
    )
    weights.set(key, slot)
    return slot
  }

  #fitted(): Fit {
    return (this.#fit ??= this.#newFit())
  }

  #newFit(): Fit {
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
    const places = new Map([...rowsOf.keys()].map(key => [key, this.#places.get(key) ?? []]))
    return { whole, adapters: this.#features.size, rowsOf, places, made: new Steps(make(all)), weights: new Map() }
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

function* make(samples: readonly TextFeatures[]): ReturnType<Fit['made']['rest']> {
  const rarity = rarityOf(samples)
  const vectors: TextVector[] = []
  for (const sample of samples) {
    vectors.push(textVector(sample, rarity))
    yield
  }
  return { rarity, ridge: yield* fitRidge(vectors) }
}

/** Spreads keys over 32 bits. */
function mix(key: string): number {
  let state = 0x811c9dc5
  for (let at = 0; at < key.length; at += 1) state = Math.imul(state ^ key.charCodeAt(at), 0x01000193)
  return Math.imul(state ^ (state >>> 15), 0x85ebca6b) >>> 0
}
