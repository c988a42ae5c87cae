import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fitRidge, type Ridge, type RidgeWeights } from '../../src/retrieve/ridge.ts'
import { Steps } from '../../src/retrieve/steps.ts'
import { textFeatures } from '../../src/retrieve/text-features.ts'
import { rarityOf, textVector, type TextVector } from '../../src/retrieve/text-vectors.ts'
import { WeightRows } from '../../src/retrieve/weight-rows.ts'

const near = (found: number, expected: number, what: string, within = 1e-9): void =>
  assert.ok(Math.abs(found - expected) <= within, `${what}: ${found}, expected ${expected}`)

const texts = ['what rhymes with cat', 'what rhymes with moon', 'what rhymes with day', 'add 2 and 3', 'add 14 and 5']
const extra = ['say it in french: dog', 'say it in french: tree']
const rarity = rarityOf(texts.map(textFeatures))
const vectorOf = (text: string): TextVector => textVector(textFeatures(text), rarity)
const fitted = (rows: readonly TextVector[]): Ridge => new Steps(fitRidge(rows)).finish()

function scoreOf(vector: TextVector, weights: RidgeWeights): number {
  const rows = new WeightRows()
  return rows.products(vector, [rows.put(weights)])[0] ?? NaN
}

test('what a row scores where it is left out is what a fit without it gives', () => {
  const rows = texts.map(vectorOf)
  const whole = fitted(rows)
  const [rhymes, sums] = [whole.leftOut([0, 1, 2]), whole.leftOut([3, 4])]
  for (const [left, row] of rows.entries()) {
    const rest = fitted(rows.filter((_, at) => at !== left))
    const placed = (own: readonly number[]): readonly number[] =>
      own.filter(at => at !== left).map(at => (at > left ? at - 1 : at))
    near(rhymes[left] ?? 9, scoreOf(row, rest.weightsOf(placed([0, 1, 2]))), `rhymes without ${left}`, 0.02)
    near(sums[left] ?? 9, scoreOf(row, rest.weightsOf(placed([3, 4]))), `sums without ${left}`, 0.02)
  }
})

test('a class that is fitted by itself gets what it would get among the rows of the fit', () => {
  const bordered = fitted(texts.map(vectorOf)).weightsFor(extra.map(vectorOf))
  const whole = fitted([...texts, ...extra].map(vectorOf)).weightsOf([5, 6])
  for (const text of [...texts, ...extra, 'say 5 in french', ''])
    near(scoreOf(vectorOf(text), bordered), scoreOf(vectorOf(text), whole), text, 0.02)
})

test('features: words and characters are halves of a unit vector, and no text is without', () => {
  for (const text of ['', ' ', 'a', '把这句话翻译成英文', '\ud800', 'word '.repeat(50_000), '한국어'.repeat(9000)]) {
    const { ids, values } = vectorOf(text)
    assert.ok(ids.length > 0 && ids.length < 3000)
    near(
      values.reduce((sum, value) => sum + value * value, 0),
      1,
      JSON.stringify(text.slice(0, 20)),
      1e-5,
    )
  }
})

test('features: numbers are alike, case counts for characters alone, and the middle of a long text is left out', () => {
  const words = (text: string): string => textFeatures(text).words.ids.join()
  assert.equal(words('add 2 and 3'), words('add 14 and 599'))
  assert.equal(words('ADD It'), words('add it'))
  assert.notEqual(textFeatures('ADD').characters.ids.join(), textFeatures('add').characters.ids.join())
  const long = (middle: string): string => `begin ${'x '.repeat(3000)}${middle} ${'x '.repeat(3000)}end`
  assert.deepEqual(textFeatures(long('one')), textFeatures(long('two')))
  assert.notDeepEqual(textFeatures(`${long('one')}s`), textFeatures(long('one')))
})

test('rarity: of a list of features those that count are counted', () => {
  const { words, characters } = textFeatures('add 2 and 3')
  const longer = { ...words, ids: Uint16Array.from([...words.ids, ...words.ids]) }
  assert.deepEqual(rarityOf([{ words: longer, characters }]), rarityOf([{ words, characters }]))
})
