import assert from 'node:assert/strict'
import { test } from 'node:test'
import { firstValueFrom, of } from 'rxjs'
import { compose } from '../../src/compose/compose.ts'
import { ConfigError } from '../../src/errors.ts'
import type { Composed, Prompt, Retrieved, StrategyName, Window } from '../../src/events.ts'
import type { Compose } from '../../src/ports.ts'
import { adapter, digestOf, message } from '../support/fakes.ts'

const hits = ['a', 'b', 'c'].map((id, index) => ({ adapter: adapter(id), score: 0.9 - index / 10 }))

function windowOf(values: readonly Prompt[]): Window<Retrieved> {
  const pool = { epoch: 1, size: 3, encoder: { id: 'none', digest: digestOf('none') } }
  const items = values.map((value, row) => ({ ...message(value, row), row, queuedMs: 0, hits, pool }))
  return { id: 'w', closedBy: 'SIZE', size: items.length, items, failed: [], ms: {} }
}

async function composed(values: readonly Prompt[], strategy: StrategyName | Compose): Promise<Window<Composed>> {
  return firstValueFrom(of(windowOf(values)).pipe(compose(strategy)))
}

test('compose: a strategy by its name', async () => {
  const names = { base: 'BASE', selection: 'SELECTION', mixture: 'MIXTURE', fusion: 'FUSION' } as const
  for (const name of ['base', 'selection', 'mixture', 'fusion'] as const) {
    const { items, ms } = await composed([{ text: 'x' }], name)
    assert.equal(items[0]?.strategy, names[name])
    assert.ok((ms.compose ?? -1) >= 0)
  }
})

test("compose: a prompt's strategy goes before the topology's", async () => {
  const { items } = await composed([{ text: 'x' }, { text: 'y', strategy: 'base' }], 'mixture')
  assert.deepEqual(
    items.map(({ strategy, mix }) => [strategy, mix.length]),
    [
      ['MIXTURE', 3],
      ['BASE', 0],
    ],
  )
})

/** The worst hit, twice as strong. */
const last: Compose = found => {
  const { adapter: one, score } = found.at(-1) ?? assert.fail()
  const used = [{ id: one.id, digest: one.digest, weight: 2, score, rank: one.rank }]
  return { strategy: 'SELECTION', mix: [{ lora: [{ adapter: one, weight: 1 }], weight: 2 }], used }
}

test('compose: a strategy of your own', async () => {
  const { items } = await composed([{ text: 'x' }], last)
  assert.equal(items[0]?.used[0]?.id, 'c')
})

test('compose: a strategy that throws, or weighs with no number, costs only its prompt', async () => {
  let calls = 0
  const faulty: Compose = () => {
    calls++
    if (calls === 2) throw new Error('no such luck')
    const weight = calls === 3 ? Number.NaN : 1
    return { strategy: 'BASE', mix: [{ lora: [], weight }], used: [] }
  }
  const { items, failed } = await composed([{ text: 'x' }, { text: 'y' }, { text: 'z' }], faulty)
  assert.deepEqual(
    items.map(({ value }) => value.text),
    ['x'],
  )
  assert.deepEqual(
    failed.map(({ stage, code, reason }) => [stage, code, reason]),
    [
      ['compose', 'STAGE_FAILED', 'no such luck'],
      ['compose', 'STAGE_FAILED', 'the strategy gave a weight of NaN, expected a finite number'],
    ],
  )
  assert.equal(calls, 3)
})

test('compose: a name that is no strategy is refused', () => {
  // What JavaScript or a command line may hand in.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const name = 'average' as string as StrategyName
  assert.throws(
    () => compose(name),
    new ConfigError('compose: strategy is "average", expected base, selection, mixture, fusion, adaptive'),
  )
})
