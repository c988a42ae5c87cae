import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ModelError } from '../../src/errors.ts'
import type { Scored, VectorIndex } from '../../src/ports.ts'

/** A generator of uniform numbers in [0, 1): mulberry32, so that every run sees the same vectors. */
export function uniforms(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

/** Unit vectors around a few centres, as sentence vectors of related tasks lie. */
export function clusteredVectors(count: number, dimension: number, clusters: number, seed: number): Float32Array[] {
  const random = uniforms(seed)
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  const centres = Array.from({ length: clusters }, () => Array.from({ length: dimension }, normal))
  return Array.from({ length: count }, (_, index) =>
    unit((centres[index % clusters] ?? []).map(value => value + 0.7 * normal())),
  )
}

export function unit(values: readonly number[]): Float32Array {
  const length = Math.hypot(...values)
  return Float32Array.from(values, value => value / length)
}

const nothing: ReadonlySet<string> = new Set()
const keysOf = (found: readonly { readonly key: string }[]): readonly string[] => found.map(({ key }) => key)

/** One question alone. */
export const ask = (
  index: VectorIndex,
  vector: Float32Array,
  k: number,
  skip: ReadonlySet<string>,
): readonly Scored[] => index.search([{ vector, k, skip }])[0] ?? []

/** What every index promises. `recall` is the least share of the true 8 nearest that it must find among 2,000. */
export function vectorIndexContract(name: string, make: () => VectorIndex, recall: number): void {
  test(`${name}: an empty index finds nothing`, () => {
    const index = make()
    assert.equal(index.size, 0)
    assert.deepEqual(ask(index, unit([1, 0]), 3, nothing), [])
    assert.deepEqual(index.search([]), [])
    index.remove('nobody')
    assert.equal(index.size, 0)
    index.add('guest', unit([1, 1]))
    index.remove('guest')
    const question = { vector: unit([1, 0]), k: 3, skip: nothing }
    assert.deepEqual(index.search([question, question, question, question]), [[], [], [], []])
  })

  test(`${name}: the nearest come best first, scored by their cosine`, () => {
    const index = make()
    index.add('east', unit([1, 0]))
    index.add('north', unit([0, 1]))
    index.add('northeast', unit([1, 1]))
    const found = ask(index, unit([2, 1]), 2, nothing)
    assert.deepEqual(keysOf(found), ['northeast', 'east'])
    assert.ok(Math.abs((found[0]?.score ?? 0) - 3 / Math.sqrt(10)) < 1e-6)
    assert.ok(Math.abs((found[1]?.score ?? 0) - 2 / Math.sqrt(5)) < 1e-6)
  })

  test(`${name}: fewer than k come when there are fewer, none for k = 0`, () => {
    const index = make()
    index.add('one', unit([1, 0]))
    index.add('two', unit([0, 1]))
    assert.equal(ask(index, unit([1, 1]), 10, nothing).length, 2)
    assert.equal(ask(index, unit([1, 1]), 0, nothing).length, 0)
  })

  test(`${name}: skipped keys never come, and others take their place`, () => {
    const index = make()
    const vectors = clusteredVectors(50, 8, 5, 3)
    for (const [key, vector] of vectors.entries()) index.add(String(key), vector)
    const query = vectors[7] ?? unit([1])
    const all = keysOf(ask(index, query, 50, nothing))
    assert.equal(all.length, 50)
    const skip = new Set([...all.slice(0, 4), 'nobody'])
    assert.deepEqual(keysOf(ask(index, query, 3, skip)), all.slice(4, 7))
    assert.deepEqual(ask(index, query, 3, new Set(all)), [])
  })

  test(`${name}: questions that are asked together are answered as alone, in their order, each with its own k and skip`, () => {
    const index = make()
    for (const [key, vector] of clusteredVectors(1500, 20, 30, 5).entries()) index.add(String(key), vector)
    const vectors = clusteredVectors(9, 20, 30, 6)
    const questions = vectors.map((vector, at) => {
      return { vector, k: 2 * at, skip: new Set(at % 2 === 0 ? [] : [String(at), 'nobody']) }
    })
    const alone = questions.map(({ vector, k, skip }) => ask(index, vector, k, skip))
    for (let count = 0; count <= questions.length; count += 1) {
      assert.deepEqual(index.search(questions.slice(0, count)), alone.slice(0, count))
      assert.deepEqual(index.search(questions.slice(count).toReversed()), alone.slice(count).toReversed())
    }
  })

  test(`${name}: adding a key again replaces its vector`, () => {
    const index = make()
    index.add('moved', unit([1, 0]))
    index.add('still', unit([1, 1]))
    index.add('moved', unit([-1, 0]))
    assert.equal(index.size, 2)
    const found = ask(index, unit([1, 0]), 2, nothing)
    assert.deepEqual(keysOf(found), ['still', 'moved'])
    assert.ok(Math.abs((found[1]?.score ?? 0) + 1) < 1e-6)
  })

  test(`${name}: a removed key never comes back, and can be added again`, () => {
    const index = make()
    for (const key of ['a', 'b', 'c']) index.add(key, unit([1, key === 'b' ? 0.1 : 1]))
    index.remove('b')
    index.remove('b')
    assert.equal(index.size, 2)
    assert.deepEqual(keysOf(ask(index, unit([1, 0]), 3, nothing)).toSorted(), ['a', 'c'])
    index.add('b', unit([1, 0.2]))
    assert.equal(keysOf(ask(index, unit([1, 0]), 3, nothing))[0], 'b')
  })

  test(`${name}: a vector of another dimension or with a value that is not finite is refused and changes nothing`, () => {
    const index = make()
    index.add('good', unit([1, 0]))
    assert.throws(() => index.add('good', unit([1, 0, 0])), ModelError)
    assert.throws(() => index.add('bad', Float32Array.of(Number.NaN, 0)), /"bad".*NaN/)
    assert.throws(() => index.add('bad', Float32Array.of(0, Number.POSITIVE_INFINITY)), ModelError)
    assert.throws(() => ask(index, unit([1, 0, 0]), 1, nothing), ModelError)
    assert.throws(() => ask(index, Float32Array.of(Number.NaN, 0), 1, nothing), ModelError)
    assert.equal(index.size, 1)
    assert.deepEqual(keysOf(ask(index, unit([1, 0]), 3, nothing)), ['good'])
  })

  test(`${name}: finds the true 8 nearest of 2,000, also after half of them were replaced or removed`, () => {
    const index = make()
    const vectors = new Map<string, Float32Array>()
    const put = (key: string, vector: Float32Array): void => {
      vectors.set(key, vector)
      index.add(key, vector)
    }
    for (const [key, vector] of clusteredVectors(2000, 32, 40, 1).entries()) put(String(key), vector)
    assertRecall(index, vectors, recall)
    for (const [key, vector] of clusteredVectors(1000, 32, 40, 2).entries()) {
      if (key % 2 === 0) put(String(key), vector)
      else {
        vectors.delete(String(key))
        index.remove(String(key))
      }
    }
    assert.equal(index.size, 1500)
    assertRecall(index, vectors, recall)
  })
}

function assertRecall(index: VectorIndex, vectors: ReadonlyMap<string, Float32Array>, recall: number): void {
  const queries = clusteredVectors(100, 32, 40, 4)
  let hits = 0
  for (const query of queries) {
    const exact = [...vectors]
      .map(([key, vector]) => ({ key, score: vector.reduce((sum, value, at) => sum + value * (query[at] ?? 0), 0) }))
      .toSorted((a, b) => b.score - a.score)
      .slice(0, 8)
    const found = new Set(keysOf(ask(index, query, 8, nothing)))
    hits += exact.filter(({ key }) => found.has(key)).length
  }
  assert.ok(hits / (queries.length * 8) >= recall, `recall ${hits / (queries.length * 8)}, expected ${recall}`)
}
