import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Likeness } from '../../src/retrieve/likeness.ts'
import { unit } from '../contracts/vector-index.ts'

/** β of the formula. */
const SHARPNESS = 8

/** The formula as it is written, in 64 bits: softmax over the others of β times the cosine of what is left without the mean. */
function expected(means: readonly Float32Array[], from: number): readonly number[] {
  const middle = [...(means[0] ?? [])].map((_, axis) => sum(means.map(mean => mean[axis] ?? 0)) / means.length)
  const apart = means.map(mean => middle.map((value, axis) => (mean[axis] ?? 0) - value))
  const cosine = (one: readonly number[], other: readonly number[]): number =>
    dot(one, other) / Math.sqrt(dot(one, one) * dot(other, other))
  const weights = apart.map((other, at) => (at === from ? 0 : Math.exp(SHARPNESS * cosine(apart[from] ?? [], other))))
  return weights.map(weight => weight / sum(weights))
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
const dot = (one: readonly number[], other: readonly number[]): number =>
  sum(one.map((value, at) => value * (other[at] ?? 0)))

function assertClose(actual: ArrayLike<number>, wanted: readonly number[]): void {
  assert.equal(actual.length, wanted.length)
  for (const [at, value] of wanted.entries())
    assert.ok(Math.abs((actual[at] ?? NaN) - value) < 1e-5, `${at}: ${actual[at]}, expected ${value}`)
}

const means = [
  [1, 0.2, 0, 0.1],
  [0.9, 0.3, 0.1, 0],
  [0, 1, 0.2, 0.3],
  [0.1, 0.1, 1, 0.4],
  [0.2, -0.3, 0.4, -1],
].map(values => unit(values))

function filled(): { readonly likeness: Likeness; readonly keys: readonly string[] } {
  const likeness = new Likeness()
  for (const [at, mean] of means.entries()) likeness.add(`a${at}`, mean)
  return { likeness, keys: means.map((_, at) => `a${at}`) }
}

test('likeness: shares are a softmax over the others of the cosine, the mean of all taken away', () => {
  const { likeness, keys } = filled()
  for (const from of keys.keys()) assertClose(likeness.among(keys)(from), expected(means, from))
})

test('likeness: adapters that came, went, or were replaced leave nothing', () => {
  const { likeness, keys } = filled()
  const guest = unit([-1, -1, 0, 0])
  likeness.add('guest', guest)
  assertClose(likeness.among([...keys, 'guest'])(0), expected([...means, guest], 0))
  likeness.remove('guest')
  likeness.remove('nobody')
  likeness.add('a1', guest)
  likeness.add('a1', means[1] ?? guest)
  for (const from of keys.keys()) assertClose(likeness.among(keys)(from), expected(means, from))
  for (const key of keys) likeness.remove(key)
  likeness.add('other', unit([1, 0, 0, 0]))
  assertClose(likeness.among(['other'])(0), [0])
})

test('likeness: adapters of one and the same mean share evenly, and some of a pool among themselves', () => {
  const likeness = new Likeness()
  for (const key of ['a', 'b', 'c']) likeness.add(key, unit([1, 1, 1, 1]))
  assertClose(likeness.among(['a', 'b', 'c'])(1), [0.5, 0, 0.5])
  const { likeness: larger, keys } = filled()
  const whole = expected(means, 3)
  const some = [whole[0] ?? 0, whole[2] ?? 0]
  assertClose(
    larger.among(['a0', 'a3', 'a2'])(1),
    [some[0], 0, some[1]].map(value => (value ?? 0) / sum(some)),
  )
  assertClose(larger.among(keys.slice(0, 1))(0), [0])
})
