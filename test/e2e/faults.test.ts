import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { missingJava } from '../../infra/java.ts'
import { openGrounds } from './ground.ts'
import { plan } from './plan.ts'
import { trial } from './trial.ts'

const reason = await missingJava()

if (reason !== undefined) test('faults: on real brokers', { skip: reason }, () => {})
else {
  const grounds = await openGrounds()
  after(() => grounds.stop())

  // kill -9 does not tell a broken design from a sound one; a pause longer than the session timeout does.
  for (const [seed, kinds] of [
    [2, ['stop']],
    [3, ['kill', 'stop']],
  ] as const)
    test(`faults: nothing is lost, doubled, disordered or wrongly dead-lettered by ${kinds.join(' and ')}`, async () => {
      const drawn = plan({ seed, kinds, brokers: 1, prompts: 1440, ms: 12_000 })
      const {
        prompts,
        poison,
        settledMs: _,
        ...wrong
      } = await trial(`faults-${process.pid}-${seed}`, await grounds.ground(1), drawn, { roundMs: 200, engineMs: 200 })
      assert.ok(prompts >= 1440 && poison > 0)
      const none = {
        lost: 0,
        unanswered: 0,
        duplicated: 0,
        outOfOrder: 0,
        wronglyDead: 0,
        wrong: 0,
        gaveUp: 0,
        stuck: 0,
      }
      assert.deepEqual(wrong, none)
    })
}
