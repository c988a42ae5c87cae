import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ModelError } from '../../src/errors.ts'
import type { Sample, Scored, Scorer } from '../../src/ports.ts'
import { unit } from './vector-index.ts'

type Pool = Readonly<Record<string, readonly string[]>>

/** Tasks that share subjects, and differ in what is asked; other scripts among them. */
const tasks: Pool = {
  opposite: [
    'say the opposite of warm',
    'say the opposite of big',
    'say the opposite of early',
    'say the opposite of up',
  ],
  rhyme: ['what rhymes with moon', 'what rhymes with cat', 'what rhymes with day', 'what rhymes with tree'],
  sum: ['add 2 and 3', 'add 14 and 5', 'add 9 and 90', 'add 1 and 7'],
  translate: ['translate into french: the dog', 'translate into french: a tree', 'translate into french: my day'],
  chinese: ['把这句话翻译成英文:天气很好', '把这句话翻译成英文:我喜欢猫', '把这句话翻译成英文:今天下雨'],
  arabic: ['لخص هذا النص: ذهب الولد إلى المدرسة', 'لخص هذا النص: الشمس مشرقة اليوم', 'لخص هذا النص: القطة نائمة'],
  emoji: ['🙂 or ☹️? great film', '🙂 or ☹️? dull book', '🙂 or ☹️? lovely food'],
}

const nothing: ReadonlySet<string> = new Set()
const DIMENSION = 64

/** Characters and pairs of them, hashed: an encoder that reads any script, if not its meaning. */
function promptOf(text: string): Sample {
  const counts = Array.from({ length: DIMENSION }, () => 0.01)
  let before = 0
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0
    for (const id of [code, before * 31 + code]) {
      const place = (Math.imul(id, 0x9e3779b1) >>> 8) % DIMENSION
      counts[place] = (counts[place] ?? 0) + 1
    }
    before = code
  }
  return { text, vector: unit(counts) }
}

const samplesOf = (texts: readonly string[]): readonly Sample[] => texts.map(promptOf)

function filled(scorer: Scorer, pool: Pool, order = Object.keys(pool)): Scorer {
  for (const key of order) scorer.add(key, samplesOf(pool[key] ?? []))
  return scorer
}

type Found = readonly Scored[]

/** One question alone. */
export const ask = (scorer: Scorer, prompt: Sample, k: number, skip: ReadonlySet<string>): Found =>
  scorer.search([{ ...prompt, k, skip }])[0] ?? []

function assertAlike(found: Found, expected: Found): void {
  const scores = new Map(expected.map(({ key, score }) => [key, score]))
  assert.deepEqual(found.map(({ key }) => key).toSorted(), [...scores.keys()].toSorted())
  for (const { key, score } of found) {
    const before = scores.get(key) ?? Number.NaN
    assert.ok(Math.abs(score - before) <= 1e-6 * Math.max(1, Math.abs(before)), `${key}: ${score}, before ${before}`)
  }
}

/** Best first, and no score that is not finite. */
function assertRanked(found: Found): void {
  for (const [at, { key, score }] of found.entries()) {
    assert.ok(Number.isFinite(score), `${key}: ${score}`)
    assert.ok(score <= (found[at - 1]?.score ?? Infinity))
  }
}

/** What every scorer promises; where adapters lend, one that is skipped may be missing from the scores of others. */
export function scorerContract(name: string, make: () => Scorer, { lends = false } = {}): void {
  test(`${name}: an empty scorer finds nothing`, () => {
    const scorer = make()
    scorer.remove('nobody')
    assert.equal(scorer.size, 0)
    assert.deepEqual(ask(scorer, promptOf('anything'), 3, nothing), [])
    assert.deepEqual([...scorer.heldOut()], [])
  })

  test(`${name}: a sample finds its own adapter first, in any script`, () => {
    const scorer = filled(make(), tasks)
    assert.equal(scorer.size, 7)
    for (const [key, texts] of Object.entries(tasks))
      for (const text of texts) {
        const found = ask(scorer, promptOf(text), 3, nothing)
        assert.equal(found.length, 3)
        assertRanked(found)
        assert.equal(found[0]?.key, key, text)
      }
  })

  test(`${name}: any text has finite scores: empty, long, of marks alone, of scripts that no sample has`, () => {
    const scorer = filled(make(), tasks)
    for (const text of ['', ' ', '\n\n', '?!', 'นี่คืออะไร', '\ud800', 'x'.repeat(100_000), 'a word '.repeat(20_000)]) {
      const found = ask(scorer, promptOf(text), 10, nothing)
      assert.equal(found.length, 7)
      assertRanked(found)
    }
  })

  test(`${name}: the order of arrival makes no difference`, () => {
    const [one, other] = [make(), make()]
    filled(one, tasks)
    filled(other, tasks, Object.keys(tasks).toReversed())
    for (const text of ['say the opposite of moon', 'add 4 and a cat', '今天'])
      assertAlike(ask(other, promptOf(text), 7, nothing), ask(one, promptOf(text), 7, nothing))
  })

  test(`${name}: what was found stays as it was, whatever is asked afterwards, and is found again`, () => {
    const scorer = filled(make(), tasks)
    const prompts = Object.values(tasks).flatMap(samplesOf)
    const found = prompts.map(prompt => ask(scorer, prompt, 8, nothing))
    const copies = found.map(hits => hits.map(hit => ({ ...hit })))
    const again = prompts.toReversed().map(prompt => ask(scorer, prompt, 8, nothing))
    assert.deepEqual(found, copies)
    assert.deepEqual(again.toReversed(), found)
  })

  test(`${name}: questions that are asked together are answered as alone, in their order, each with its own k and skip`, () => {
    const scorer = filled(make(), tasks)
    // More than are scored without a choice among them.
    for (let at = 0; at < 150; at += 1)
      scorer.add(`more${at}`, samplesOf([`number ${at} of ${at * at}`, `what is ${at}`]))
    const questions = Object.values(tasks)
      .flatMap(samplesOf)
      .slice(0, 9)
      .map((prompt, at) => ({ ...prompt, k: at, skip: new Set(at % 2 === 0 ? [] : ['sum', 'nobody']) }))
    const alone = questions.map(question => ask(scorer, question, question.k, question.skip))
    for (let count = 0; count <= questions.length; count += 1) {
      assert.deepEqual(scorer.search(questions.slice(0, count)), alone.slice(0, count))
      assert.deepEqual(scorer.search(questions.slice(count).toReversed()), alone.slice(count).toReversed())
    }
  })

  test(`${name}: adapters that came and went leave nothing, also where questions were asked in between`, () => {
    const [plain, busy] = [make(), make()]
    filled(plain, tasks)
    filled(busy, tasks)
    const prompt = promptOf('say what rhymes with 5')
    for (let round = 0; round < 3; round += 1) {
      busy.add('guest', samplesOf(['say what rhymes', 'add a dog', `round ${round}`]))
      assert.equal(ask(busy, prompt, 9, nothing).length, 8)
      busy.remove('guest')
    }
    busy.remove('sum')
    busy.add('sum', samplesOf(tasks['sum'] ?? []))
    assert.equal(busy.size, plain.size)
    assertAlike(ask(busy, prompt, 9, nothing), ask(plain, prompt, 9, nothing))
    const [left, wanted] = [busy.heldOut(), plain.heldOut()].map(held =>
      [...held].map(({ own, others }) => [own, ...others]),
    )
    assert.ok(left && wanted)
    assert.equal(left.length, wanted.length)
    for (const [at, scores] of wanted.entries()) {
      assert.equal(left[at]?.length, scores.length)
      for (const [place, score] of scores.entries())
        assert.ok(
          Math.abs(score - (left[at]?.[place] ?? NaN)) <= 1e-6 * Math.max(1, Math.abs(score)),
          `${at}: ${score}`,
        )
    }
  })

  test(`${name}: a preparation that a change overtook disturbs nothing, also when it is brought to its end`, () => {
    const [plain, busy] = [make(), make()]
    filled(plain, tasks)
    const { sum = [], ...others } = tasks
    filled(busy, others)
    const overtaken = busy.prepare()[Symbol.iterator]()
    for (let step = 0; step < 3; step += 1) overtaken.next()
    busy.add('sum', samplesOf(sum))
    const prompt = promptOf('say what rhymes with 5')
    const before = ask(busy, prompt, 9, nothing)
    while (overtaken.next().done !== true);
    assert.deepEqual(ask(busy, prompt, 9, nothing), before)
    assertAlike(before, ask(plain, prompt, 9, nothing))
  })

  test(`${name}: adding an adapter again replaces its samples`, () => {
    const [moved, fresh] = [make(), make()]
    filled(moved, { ...tasks, sum: ['what is the capital of peru', 'what is the capital of mali'] })
    const prompt = promptOf('add 2 and 2')
    ask(moved, prompt, 1, nothing)
    moved.add('sum', samplesOf(tasks['sum'] ?? []))
    filled(fresh, tasks)
    assertAlike(ask(moved, prompt, 7, nothing), ask(fresh, prompt, 7, nothing))
  })

  test(`${name}: an adapter without samples is never found, and loses those that it had`, () => {
    const scorer = filled(make(), { ...tasks, silent: [] })
    assert.equal(scorer.size, 7)
    scorer.add('sum', [])
    assert.equal(scorer.size, 6)
    const keys = ask(scorer, promptOf('add 2 and 3'), 10, nothing).map(({ key }) => key)
    assert.ok(!keys.includes('silent') && !keys.includes('sum'))
  })

  test(`${name}: one adapter with one sample, and one sample for every adapter`, () => {
    const alone = filled(make(), { only: ['add 2 and 3'] })
    const found = ask(alone, promptOf('what'), 3, nothing)
    assert.deepEqual(
      found.map(({ key }) => key),
      ['only'],
    )
    assertRanked(found)
    const single = filled(make(), Object.fromEntries(Object.entries(tasks).map(([key, [text = '']]) => [key, [text]])))
    for (const [key, [text = '']] of Object.entries(tasks)) {
      const hits = ask(single, promptOf(text), 7, nothing)
      assertRanked(hits)
      assert.equal(hits[0]?.key, key)
    }
    for (const { own, others } of single.heldOut()) assert.ok([own, ...others].every(Number.isFinite))
  })

  test(`${name}: adapters of the same samples score alike, and others less`, () => {
    const scorer = filled(make(), { ...tasks, twin: tasks['sum'] ?? [] })
    const found = ask(scorer, promptOf('add 2 and 3'), 8, nothing)
    assertRanked(found)
    assert.deepEqual(
      found
        .slice(0, 2)
        .map(({ key }) => key)
        .toSorted(),
      ['sum', 'twin'],
    )
    assert.ok(Math.abs((found[0]?.score ?? 0) - (found[1]?.score ?? 9)) < 1e-3)
    for (const { own, others } of scorer.heldOut()) assert.ok([own, ...others].every(Number.isFinite))
    const same = filled(make(), { one: ['add', 'add', 'add'], two: ['add', 'add', 'add'] })
    assertRanked(ask(same, promptOf('add'), 2, nothing))
  })

  test(`${name}: k and skip bound what comes`, () => {
    const scorer = filled(make(), tasks)
    const prompt = promptOf('add 2 and 3')
    const all = ask(scorer, prompt, 7, nothing)
    assert.deepEqual(ask(scorer, prompt, 0, nothing), [])
    assert.deepEqual(ask(scorer, prompt, 2, nothing), all.slice(0, 2))
    const others = ask(scorer, prompt, 6, new Set(['sum', 'nobody']))
    assertRanked(others)
    const wanted = all.filter(({ key }) => key !== 'sum')
    if (!lends) assert.deepEqual(others, wanted)
    assert.deepEqual(others.map(({ key }) => key).toSorted(), wanted.map(({ key }) => key).toSorted())
    assert.deepEqual(ask(scorer, prompt, 2, new Set(['sum', 'nobody'])), others.slice(0, 2))
    assert.deepEqual(ask(scorer, prompt, 2, new Set(Object.keys(tasks))), [])
  })

  test(`${name}: a vector of another dimension or with a value that is not finite is refused and changes nothing`, () => {
    const scorer = filled(make(), tasks)
    const prompt = promptOf('add 2 and 3')
    const before = ask(scorer, prompt, 7, nothing)
    const bad = { text: 'add', vector: Float32Array.from(unit([1, 1])) }
    const broken = { text: 'add', vector: prompt.vector.map(() => Number.NaN) }
    for (const sample of [bad, broken]) {
      assert.throws(() => scorer.add('sum', [prompt, sample]), ModelError)
      assert.throws(() => ask(scorer, sample, 1, nothing), ModelError)
    }
    assert.equal(scorer.size, 7)
    assertAlike(ask(scorer, prompt, 7, nothing), before)
  })

  test(`${name}: a sample that is left out scores its own adapter less than where it is in`, () => {
    const scorer = filled(make(), { rhyme: tasks['rhyme'] ?? [], sum: tasks['sum'] ?? [] })
    const samples = samplesOf([...(tasks['rhyme'] ?? []), ...(tasks['sum'] ?? [])])
    const held = [...scorer.heldOut()]
    assert.equal(held.length, samples.length)
    const inside = samples.map(sample => ask(scorer, sample, 1, nothing)[0]?.score ?? 0)
    const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
    assert.ok(mean(held.map(({ own }) => own)) < mean(inside))
    for (const { own, others } of held) {
      assert.equal(others.length, 1)
      assert.ok([own, ...others].every(Number.isFinite))
    }
  })
}
