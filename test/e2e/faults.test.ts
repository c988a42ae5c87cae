import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { missingJava } from '../../infra/java.ts'
import { openGrounds } from './ground.ts'
import { plan } from './plan.ts'
import { trial } from './trial.ts'

const reason = await missingJava()

if (reason !== undefined) test('faults: on real brokers', { skip: reason }, () => {})
else {
  const grounds = await openGrounds(false)
  after(() => grounds.stop())
  const ground = await grounds.ground(1)

  // kill -9 does not tell a broken design from a sound one; a pause longer than the session timeout does. Side by side, for time.
  test('faults: nothing is lost, doubled, disordered or wrongly dead-lettered', { concurrency: true }, async t => {
    const trials = [
      [1, ['stop']],
      [2, ['stop']],
    ] as const
    const done = trials.map(([seed, kinds]) =>
      t.test(`by ${kinds.join(' and ')}, seed ${seed}`, async () => {
        const drawn = plan({ seed, kinds, brokers: 1, prompts: 1620, ms: 14_000 })
        const name = `faults-${process.pid}-${seed}`
        const {
          prompts,
          poison,
          settledMs: _,
          ...wrong
        } = await trial(name, ground, drawn, {
          roundMs: 300,
          engineMs: 200,
        })
        assert.ok(prompts >= 1620 && poison > 0)
        const none = { lost: 0, unanswered: 0, duplicated: 0, outOfOrder: 0, wronglyDead: 0, wrong: 0 }
        assert.deepEqual(wrong, { ...none, gaveUp: 0, stuck: 0 })
      }),
    )
    await Promise.all(done)
  })
}
