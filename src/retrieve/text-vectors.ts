import { FEATURES, type Counts, type TextFeatures } from './text-features.ts'

/** A text as a sparse unit vector: half of its squared length for words, half for characters. */
export type TextVector = { readonly ids: Uint16Array; readonly values: Float32Array }

/** Places of a {@link TextVector}: one for every feature, words and characters. */
export const PLACES = 2 * FEATURES

/** How rare each feature is among some samples. */
export type Rarity = {
  readonly words: Float64Array
  readonly characters: Float64Array
  /**
   * The place of each feature, characters after words: the most frequent first, so that what most texts have stands close
   * together in an adapter's weights, and half as many of these are fetched from memory.
   */
  readonly places: Uint16Array
}

/** log((1 + N) / (1 + n)) + 1 for a feature that n of N samples have, as scikit-learn smooths it. */
export function rarityOf(samples: readonly TextFeatures[]): Rarity {
  const counts = new Uint32Array(PLACES)
  for (const { words, characters } of samples) {
    for (const id of words.ids.subarray(0, words.size)) counts[id] = (counts[id] ?? 0) + 1
    for (const id of characters.ids.subarray(0, characters.size))
      counts[FEATURES + id] = (counts[FEATURES + id] ?? 0) + 1
  }
  const rarity = Float64Array.from(counts, count => Math.log((1 + samples.length) / (1 + count)) + 1)
  return { words: rarity.subarray(0, FEATURES), characters: rarity.subarray(FEATURES), places: placesBy(counts) }
}

/** By falling count, then by id. */
function placesBy(counts: Uint32Array): Uint16Array {
  // Numbers are sorted far faster than by a function that compares.
  const keys = Float64Array.from(counts, (count, id) => id - count * PLACES).toSorted()
  const places = new Uint16Array(PLACES)
  for (const [place, key] of keys.entries()) places[((key % PLACES) + PLACES) % PLACES] = place
  return places
}

/** How many places of a {@link TextVector} features take. */
export const sizeOf = ({ words, characters }: TextFeatures): number => words.size + characters.size

/** (1 + log times) · rarity, words and characters each scaled to √½; in `into`, of {@link sizeOf} places. */
export function textVector(features: TextFeatures, rarity: Rarity, into = newVector(sizeOf(features))): TextVector {
  const { words, characters } = features
  fill(words, rarity.words, rarity.places, 0, into, 0)
  fill(characters, rarity.characters, rarity.places, FEATURES, into, words.size)
  return into
}

const newVector = (size: number): TextVector => ({ ids: new Uint16Array(size), values: new Float32Array(size) })

function fill(
  counts: Counts,
  rare: Float64Array,
  places: Uint16Array,
  offset: number,
  { ids, values }: TextVector,
  start: number,
): void {
  let squares = 0
  for (let at = 0; at < counts.size; at += 1) {
    const id = counts.ids[at] ?? 0
    const times = counts.times[at] ?? 1
    const value = (DAMPED[times] ?? 1 + Math.log(times)) * (rare[id] ?? 1)
    ids[start + at] = places[id + offset] ?? 0
    values[start + at] = value
    squares += value * value
  }
  const scale = Math.SQRT1_2 / Math.sqrt(squares)
  for (let at = start; at < start + counts.size; at += 1) values[at] = (values[at] ?? 0) * scale
}

/** 1 + log times, for as many times as most features occur. */
const DAMPED = Float64Array.from({ length: 64 }, (_, times) => 1 + Math.log(times))

/** Adds `factor` times the vector to a dense one of {@link PLACES} places. */
export function addTo(dense: Float64Array, { ids, values }: TextVector, factor: number): void {
  for (let at = 0; at < ids.length; at += 1) {
    const id = ids[at] ?? 0
    dense[id] = (dense[id] ?? 0) + factor * (values[at] ?? 0)
  }
}

/** The inner product with a dense vector of {@link PLACES} places. */
export function dotDense({ ids, values }: TextVector, dense: Float64Array): number {
  let sum = 0
  for (let at = 0; at < ids.length; at += 1) sum += (values[at] ?? 0) * (dense[ids[at] ?? 0] ?? 0)
  return sum
}
