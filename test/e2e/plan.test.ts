import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import type { Completion } from '../../src/events.ts'
import { faults, plan, type Poison } from './plan.ts'
import { isClean, tally, type Asked, type Tally } from './tally.ts'
import type { ReadRecord } from './topics.ts'

const seeds = Array.from({ length: 100 }, (_, seed) => seed)
const drawn = (seed: number) => plan({ seed, kinds: faults, prompts: 500, ms: 20_000 })

test('faults: a seed repeats its plan, and another has another', () => {
  assert.deepEqual(drawn(7), drawn(7))
  assert.equal(new Set(seeds.map(seed => JSON.stringify({ ...drawn(seed), seed: 0 }))).size, seeds.length)
})

test('faults: plans draw every fault, leaders only where there are several brokers, and sleep longer than a session', () => {
  const seen = new Set<string>()
  for (const { brokers, instances, ground, prompts } of seeds.map(drawn)) {
    for (const { fault, forMs } of [...instances, ...ground]) {
      seen.add(fault)
      assert.ok(!fault.startsWith('leader-') || brokers === 3)
      assert.ok(!fault.startsWith('broker-') || brokers === 1)
      if (fault === 'stop') assert.ok(forMs >= 3000)
    }
    assert.ok(instances.reduce((sum, { afterMs, forMs }) => sum + afterMs + forMs, 0) <= 20_000)
    assert.equal(prompts.length, 500)
  }
  assert.deepEqual(seen, new Set(faults))
})

test('faults: the command refuses what it does not know, naming option and value, and plans only the faults asked for', () => {
  const command = ['--conditions=source', '--import', 'tsx', 'test/e2e/faults.ts']
  const called = (...args: readonly string[]) =>
    spawnSync(process.execPath, [...command, ...args], { encoding: 'utf8' })
  for (const [args, says] of [
    ['--trials 0', /^--trials is "0", expected a whole number from 1 to/],
    ['--seed x', /^--seed is "x", expected a whole number from 0 to/],
    ['--brokers 2', /^--brokers is "2", expected 1 or 3$/m],
    ['--faults kill,rain', /^--faults has "rain", expected some of kill,stop,/],
    ['--trial 1', /^Unknown option '--trial'/],
  ] as const) {
    const { status, stderr } = called(...args.split(' '))
    assert.equal(status, 2, stderr)
    assert.match(stderr, says)
  }
  const { status, stdout, stderr } = called('--plan', '--seed', '7', '--faults', 'stop', '--brokers', '3')
  assert.equal(status, 0, stderr)
  const expected = plan({ seed: 7, kinds: ['stop'], brokers: 3, prompts: 2160, ms: 20_000 })
  assert.equal(stdout, `${JSON.stringify(expected, null, 1)}\n`)
})

/** Prompts 0 to 3 of a partition; the last is poison. */
const asked: readonly Asked[] = [undefined, undefined, undefined, 'bytes' as Poison].map((poison, offset) => ({
  record: record(0, offset, `prompt ${offset}`),
  text: `prompt ${offset}`,
  poison,
  passed: true,
}))

function record(partition: number, offset: number, text: string): ReadRecord {
  return { partition, offset: BigInt(offset), timestamp: 0, key: null, value: Buffer.from(text), headers: [] }
}

/** An answer to a prompt; it is decoded by `decode` below. */
function answer(at: number, to: number, text = `prompt ${to} [a]`): ReadRecord {
  return record(0, at, `${to}|${text}`)
}

function letter(at: number, to: number, code = 'SCHEMA_MISMATCH'): ReadRecord {
  const facts = { partition: '0', offset: String(to), code }
  const headers = Object.entries(facts).map(
    ([name, value]) => [`__lorastream.errors.${name}`, Buffer.from(value)] as const,
  )
  return { ...record(0, at, `prompt ${to}`), headers }
}

async function decode(value: Uint8Array): Promise<Completion> {
  const [offset, text = ''] = Buffer.from(value).toString().split('|')
  const source = { topic: 'prompts', partition: 0, offset: Number(offset), timestamp: 0 }
  // What the count looks at.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return { text, provenance: { source } } as Completion
}

const good = [answer(0, 0), answer(1, 1), answer(2, 2)]

for (const [what, answers, letters, expected] of [
  ['nothing', good, [letter(0, 3)], {}],
  ['what was lost', good.slice(1), [letter(0, 3)], { lost: 1 }],
  [
    'what was answered twice, and so out of order',
    [...good, answer(3, 0)],
    [letter(0, 3)],
    { duplicated: 1, outOfOrder: 1 },
  ],
  ['what is out of order', [answer(0, 1), answer(1, 0), answer(2, 2)], [letter(0, 3)], { outOfOrder: 1 }],
  ['what was dead-lettered wrongly', good.slice(0, 2), [letter(0, 2), letter(1, 3)], { wronglyDead: 1 }],
  ['poison that has another reason', good, [letter(0, 3, 'STAGE_FAILED')], { wronglyDead: 1 }],
  ['poison that was answered', [...good, answer(3, 3)], [], { wronglyDead: 1 }],
  ['what was answered and dead-lettered', good, [letter(0, 2), letter(1, 3)], { duplicated: 1, wronglyDead: 1 }],
  ["another prompt's answer", [answer(0, 0, 'prompt 1 [a]'), ...good.slice(1)], [letter(0, 3)], { wrong: 1 }],
] as const satisfies readonly (readonly [string, readonly ReadRecord[], readonly ReadRecord[], Partial<Tally>])[])
  test(`faults: the count sees ${what}`, async () => {
    const none = { lost: 0, unanswered: 0, duplicated: 0, outOfOrder: 0, wronglyDead: 0, wrong: 0 }
    const counted = await tally(asked, answers, letters, decode, true)
    assert.deepEqual(counted, { prompts: 4, poison: 1, ...none, ...expected })
    assert.equal(isClean(counted), what === 'nothing')
  })

test('faults: the count tells what was not passed from what was lost', async () => {
  const waiting = asked.map(one => ({ ...one, passed: one.record.offset < 2n }))
  const counted = await tally(waiting, good.slice(1, 2), [], decode, true)
  assert.equal(counted.lost, 1)
  assert.equal(counted.unanswered, 2)
})

test('faults: at least once, repetitions are counted, and neither they nor their order is a failure', async () => {
  const [first, second] = good
  assert.ok(first !== undefined && second !== undefined)
  const repeated = await tally(asked, [...good, first, second], [letter(0, 3)], decode, true, 'at-least-once')
  assert.deepEqual([repeated.duplicated, repeated.outOfOrder], [2, 0])
  assert.ok(isClean(repeated, 'at-least-once') && !isClean(repeated))
  const disordered = await tally(asked, [...good.toReversed(), ...good], [letter(0, 3)], decode, true, 'at-least-once')
  assert.ok(disordered.outOfOrder > 0 && !isClean(disordered, 'at-least-once'))
})
