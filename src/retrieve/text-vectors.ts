import { FEATURES, type Counts, type TextFeatures } from './text-features.ts'

/** A text as a sparse unit vector: half of its squared length for words, half for characters. */
export type TextVector = { readonly ids: Uint16Array; readonly values: Float32Array }

/** Places of a {@link TextVector}: characters come after words. */
export const PLACES = 2 * FEATURES

/** How rare each feature is among some samples. */
export type Rarity = { readonly words: Float64Array; readonly characters: Float64Array }

/** log((1 + N) / (1 + n)) + 1 for a feature that n of N samples have, as scikit-learn smooths it. */
export function rarityOf(samples: readonly TextFeatures[]): Rarity {
  return { words: of(sample => sample.words), characters: of(sample => sample.characters) }

  function of(part: (sample: TextFeatures) => Counts): Float64Array {
    const found = new Float64Array(FEATURES)
    for (const sample of samples) for (const id of part(sample).ids) found[id] = (found[id] ?? 0) + 1
    return found.map(count => Math.log((1 + samples.length) / (1 + count)) + 1)
  }
}

/** (1 + log times) · rarity, words and characters each scaled to √½. */
export function textVector({ words, characters }: TextFeatures, rarity: Rarity): TextVector {
  const ids = new Uint16Array(words.ids.length + characters.ids.length)
  const values = new Float32Array(ids.length)
  fill(words, rarity.words, 0, 0)
  fill(characters, rarity.characters, words.ids.length, FEATURES)
  return { ids, values }

  function fill(counts: Counts, rare: Float64Array, start: number, offset: number): void {
    let squares = 0
    for (const [at, id] of counts.ids.entries()) {
      const value = (1 + Math.log(counts.times[at] ?? 1)) * (rare[id] ?? 1)
      ids[start + at] = id + offset
      values[start + at] = value
      squares += value * value
    }
    const scale = Math.SQRT1_2 / Math.sqrt(squares)
    for (let at = start; at < start + counts.ids.length; at += 1) values[at] = (values[at] ?? 0) * scale
  }
}

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
