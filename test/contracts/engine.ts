import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { ErrorCode, ErrorData } from '../../src/errors.ts'
import type { Output } from '../../src/events.ts'
import type { Lora } from '../../src/lora.ts'
import type { Batch, Engine, Row } from '../../src/ports.ts'

/** What an engine is tried with. */
export type EngineUnderTest = {
  readonly engine: Engine
  /** Four rows or more that differ in everything, each of them sound and of two new tokens at least. */
  readonly rows: readonly Row[]
  /** Three LoRAs or more that all change the answers to all rows. */
  readonly loras: readonly Lora[]
  /** Rows that cannot be run. */
  readonly bad: readonly { readonly row: Row; readonly code: ErrorCode }[]
}

type Result = Output | ErrorData
type Mapping = Batch['mapping'][number]

/** None to three LoRAs a row; weights that sum to 1, to more and to less, and a negative one. */
const mixes: readonly Mapping[] = [
  [
    { lora: 0, weight: 0.5 },
    { lora: 2, weight: 0.5 },
  ],
  [],
  [{ lora: 1, weight: 1 }],
  [
    { lora: 0, weight: 0.7 },
    { lora: 1, weight: 0.9 },
    { lora: 2, weight: -0.2 },
  ],
  [{ lora: 2, weight: 0.25 }],
]

const mixOf = (row: number): Mapping => mixes[row % mixes.length] ?? []

/** All rows, each with a mix of its own. */
function whole({ rows, loras }: EngineUnderTest): Batch {
  return { rows, stack: loras, mapping: rows.map((_, row) => mixOf(row)) }
}

/** One row of a batch. */
function alone({ rows, stack, mapping }: Batch, row: number): Batch {
  const only = rows[row]
  assert.ok(only)
  return { rows: [only], stack, mapping: [mapping[row] ?? []] }
}

async function oneByOne(engine: Engine, batch: Batch): Promise<readonly Result[]> {
  const results: Result[] = []
  for (const row of batch.rows.keys()) results.push(...(await engine.run(alone(batch, row))))
  return results
}

function assertAnswers(results: readonly Result[]): void {
  for (const [row, result] of results.entries()) assert.ok('text' in result, `row ${row}: ${JSON.stringify(result)}`)
}

/** What every engine promises. `make` opens an engine that is closed after the test. */
export function engineContract(name: string, make: (t: TestContext) => Promise<EngineUnderTest>): void {
  test(`${name}: says who it is`, async t => {
    const { facts } = (await make(t)).engine
    for (const fact of [facts.name, facts.version, facts.device, facts.precision, facts.base.id])
      assert.notEqual(fact, '')
    assert.match(facts.base.digest, /^sha256:[0-9a-f]{64}$/)
  })

  test(`${name}: a batch of unequal mixes is its rows one by one`, async t => {
    const given = await make(t)
    const batch = whole(given)
    const together = await given.engine.run(batch)
    assertAnswers(together)
    assert.deepEqual(together, await oneByOne(given.engine, batch))
  })

  test(`${name}: every LoRA changes every answer, and an empty stack is the base model`, async t => {
    const given = await make(t)
    const { engine, rows, loras } = given
    const base = await engine.run({ rows, stack: [], mapping: rows.map(() => []) })
    assertAnswers(base)
    assert.deepEqual(await engine.run({ rows, stack: loras, mapping: rows.map(() => []) }), base)
    for (const lora of loras.keys()) {
      const changed = await engine.run({ rows, stack: loras, mapping: rows.map(() => [{ lora, weight: 1 }]) })
      assertAnswers(changed)
      for (const row of rows.keys()) assert.notDeepEqual(changed[row], base[row], `LoRA ${lora}, row ${row}`)
    }
  })

  test(`${name}: the order of the rows and of the stack changes nothing`, async t => {
    const given = await make(t)
    const batch = whole(given)
    const expected = await given.engine.run(batch)
    const last = batch.stack.length - 1
    const turned: Batch = {
      rows: batch.rows.toReversed(),
      stack: batch.stack.toReversed(),
      mapping: batch.mapping.map(mix => mix.map(({ lora, weight }) => ({ lora: last - lora, weight }))).toReversed(),
    }
    assert.deepEqual((await given.engine.run(turned)).toReversed(), expected)
  })

  test(`${name}: one row after another in one engine, or in other company, gets the answer that it had`, async t => {
    const given = await make(t)
    const batch = whole(given)
    const expected = await given.engine.run(batch)
    for (const row of batch.rows.keys()) {
      const without = [...batch.rows.keys()].filter(other => other !== row)
      const rest = await given.engine.run({
        ...batch,
        rows: without.flatMap(other => batch.rows[other] ?? []),
        mapping: without.map(other => batch.mapping[other] ?? []),
      })
      assert.deepEqual(
        rest,
        without.map(other => expected[other]),
      )
    }
  })

  test(`${name}: a bad row costs itself, with its code`, async t => {
    const given = await make(t)
    const batch = whole(given)
    const expected = await given.engine.run(batch)
    assert.ok(given.bad.length > 0)
    for (const { row, code } of given.bad) {
      const results = await given.engine.run({
        ...batch,
        rows: [...batch.rows.slice(0, 1), row, ...batch.rows.slice(1)],
        mapping: [...batch.mapping.slice(0, 1), mixOf(0), ...batch.mapping.slice(1)],
      })
      const refused = results[1]
      assert.ok(refused && 'code' in refused, JSON.stringify(refused))
      assert.equal(refused.code, code, refused.message)
      assert.notEqual(refused.message, '')
      assert.deepEqual([...results.slice(0, 1), ...results.slice(2)], expected)
    }
    const all = await given.engine.run({
      rows: given.bad.map(({ row }) => row),
      stack: [],
      mapping: given.bad.map(() => []),
    })
    assert.deepEqual(
      all.map(result => ('code' in result ? result.code : result.text)),
      given.bad.map(({ code }) => code),
    )
  })

  test(`${name}: no rows, no answers`, async t => {
    const { engine, loras } = await make(t)
    assert.deepEqual(await engine.run({ rows: [], stack: loras, mapping: [] }), [])
    assert.deepEqual(await engine.run({ rows: [], stack: [], mapping: [] }), [])
  })

  test(`${name}: a row ends at its own maxTokens, whatever the others have`, async t => {
    const given = await make(t)
    const batch = whole(given)
    const expected = await given.engine.run(batch)
    for (const row of batch.rows.keys()) {
      const rows = batch.rows.map((other, index) => (index === row ? { ...other, maxTokens: 1 } : other))
      const results = await given.engine.run({ ...batch, rows })
      const [short, long] = [results[row], expected[row]]
      assert.ok(short && long && 'tokens' in short && 'tokens' in long)
      assert.deepEqual(short.tokens, long.tokens.slice(0, 1))
      assert.equal(short.finishReason, 'LENGTH')
      assert.equal(short.promptTokens, long.promptTokens)
      for (const other of batch.rows.keys()) if (other !== row) assert.deepEqual(results[other], expected[other])
    }
  })

  test(`${name}: runs that overlap each get their own answers`, async t => {
    const given = await make(t)
    const batch = whole(given)
    const expected = await given.engine.run(batch)
    const results = await Promise.all([
      given.engine.run(batch),
      ...batch.rows.map((_, row) => given.engine.run(alone(batch, row))),
      given.engine.run({ rows: [], stack: [], mapping: [] }),
    ])
    assert.deepEqual(results, [expected, ...expected.map(result => [result]), []])
  })

  test(`${name}: closing answers what runs, refuses what comes after, and may be done twice`, async t => {
    const given = await make(t)
    const batch = whole(given)
    const expected = await given.engine.run(batch)
    const [first, second] = [given.engine.run(batch), given.engine.run(batch)]
    const closing = given.engine.close()
    assert.deepEqual(await Promise.all([first, second]), [expected, expected])
    await closing
    await assert.rejects(given.engine.run(batch))
    await given.engine.close()
  })
}
