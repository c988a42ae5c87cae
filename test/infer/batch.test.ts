import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { Composed } from '../../src/events.ts'
import type { Lora, Mix } from '../../src/lora.ts'
import { distinctAdapters, toBatch } from '../../src/infer/batch.ts'
import { adapter, digestOf, message } from '../support/fakes.ts'

const [a, b, c] = [adapter('a'), adapter('b'), adapter('c')]

function alone(one: typeof a, weight = 1): Lora {
  return [{ adapter: one, weight }]
}

function row(mix: Mix, offset = 0): Composed {
  return {
    ...message({ text: `row ${offset}` }, offset),
    row: offset,
    queuedMs: 0,
    hits: [],
    pool: { epoch: 1, size: 3, encoder: { id: 'none', digest: digestOf('none') } },
    mix,
    strategy: 'MIXTURE',
    used: [],
  }
}

/** A row's mix as the batch has it: `0.5*a + 1*(b:0.5&c:0.5)`. */
function shown({ stack, mapping }: ReturnType<typeof toBatch>): readonly string[] {
  return mapping.map(shares =>
    shares
      .map(({ lora, weight }) => {
        const parts = (stack[lora] ?? []).map(part => `${part.adapter.id}:${part.weight}`)
        return `${weight}*(${parts.join('&')})`
      })
      .toSorted()
      .join(' + '),
  )
}

test('batch: rows that use the same LoRA share its place in the stack', () => {
  const batch = toBatch([
    row([
      { lora: alone(a), weight: 0.5 },
      { lora: alone(b), weight: 0.5 },
    ]),
    row([
      { lora: alone(b), weight: 0.25 },
      { lora: alone(c), weight: 0.75 },
    ]),
    row([]),
  ])
  assert.equal(batch.stack.length, 3)
  assert.deepEqual(shown(batch), ['0.5*(a:1) + 0.5*(b:1)', '0.25*(b:1) + 0.75*(c:1)', ''])
  assert.equal(distinctAdapters(batch), 3)
})

function fused(one: number, other: number): Lora {
  return [
    { adapter: a, weight: one },
    { adapter: b, weight: other },
  ]
}

test('batch: equal sets of parts are one LoRA, whatever their order, and other weights are another', () => {
  const batch = toBatch([
    row([{ lora: fused(0.5, 0.5), weight: 1 }]),
    row([{ lora: fused(0.5, 0.5).toReversed(), weight: 1 }]),
    row([{ lora: fused(0.4, 0.6), weight: 1 }]),
  ])
  assert.equal(batch.stack.length, 2)
  assert.deepEqual(batch.mapping[0], batch.mapping[1])
  assert.notDeepEqual(batch.mapping[0], batch.mapping[2])
  assert.equal(distinctAdapters(batch), 2)
})

test('batch: an adapter is known by its digest, not by its id', () => {
  const renamed = { ...a, id: c.id }
  const changed = { ...a, digest: digestOf('a, trained again') }
  const batch = toBatch([a, renamed, changed].map(one => row([{ lora: alone(one), weight: 1 }])))
  assert.equal(batch.stack.length, 2)
  assert.equal(distinctAdapters(batch), 2)
})

test('batch: shares of one LoRA are added up, and what weighs nothing is left out', () => {
  const batch = toBatch([
    row([
      { lora: alone(a), weight: 0.25 },
      { lora: alone(a), weight: 0.5 },
      { lora: alone(b), weight: 0 },
      { lora: alone(c, 0), weight: 1 },
      { lora: [], weight: 1 },
    ]),
    row([
      { lora: alone(b), weight: 0.5 },
      { lora: alone(b), weight: -0.5 },
    ]),
  ])
  assert.deepEqual(shown(batch), ['0.75*(a:1)', ''])
  assert.equal(batch.stack.length, 1)
})

test('batch: parts of one adapter in a LoRA are one part with the sum of their weights', () => {
  const twice = [...alone(a, 0.5), ...alone(b, 0.5), ...alone(a, 0.25)]
  assert.deepEqual(shown(toBatch([row([{ lora: twice, weight: 1 }])])), [
    `1*(${[a, b]
      .toSorted((one, other) => (one.digest < other.digest ? -1 : 1))
      .map(({ id }) => `${id}:${id === 'a' ? 0.75 : 0.5}`)
      .join('&')})`,
  ])
})

test('batch: rows carry their prompts, defaults filled in', () => {
  const [first] = toBatch([row([])]).rows
  assert.deepEqual(first?.prompt, { text: 'row 0' })
  assert.equal(first?.maxTokens, 128)
})

const mixes = fc.array(
  fc.array(
    fc.record({
      lora: fc.array(fc.record({ adapter: fc.constantFrom(a, b, c), weight: fc.constantFrom(0, 0.5, 1) }), {
        maxLength: 3,
      }),
      weight: fc.constantFrom(0, 0.25, 0.5, 1),
    }),
    { maxLength: 4 },
  ),
  { maxLength: 5 },
)

test("batch: a row's mix is the same alone and among any neighbours, in the same order", () => {
  fc.assert(
    fc.property(mixes, all => {
      const batch = toBatch(all.map(row))
      for (const [index, mix] of all.entries()) {
        const single = toBatch([row(mix)])
        const parts = (of: typeof batch, at: number): unknown =>
          of.mapping[at]?.map(({ lora, weight }) => [of.stack[lora], weight])
        assert.deepEqual(parts(batch, index), parts(single, 0))
      }
    }),
  )
})

test('batch: the stack has no LoRA twice and none that no row uses, and is the same in whatever order rows come', () => {
  fc.assert(
    fc.property(mixes, all => {
      const batch = toBatch(all.map(row))
      const keys = batch.stack.map(lora => JSON.stringify(lora.map(part => [part.adapter.digest, part.weight])))
      assert.equal(new Set(keys).size, keys.length)
      const used = new Set(batch.mapping.flat().map(({ lora }) => lora))
      assert.deepEqual(
        [...used].toSorted((one, other) => one - other),
        [...batch.stack.keys()],
      )
      assert.deepEqual(toBatch(all.toReversed().map(row)).stack, batch.stack)
    }),
  )
})
