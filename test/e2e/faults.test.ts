import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { findBroker } from '../../infra/kafka.ts'
import { openTopics, type Topics } from './topics.ts'
import { dice, trial } from './trial.ts'

const broker = await findBroker()

if ('missing' in broker) test('faults: on a real broker', { skip: broker.missing }, () => {})
else {
  const topics: Topics = await openTopics(broker.brokers)
  after(async () => {
    await topics.close()
    await broker.stop()
  })

  // kill -9 does not tell a broken design from a sound one; a pause longer than the session timeout does.
  for (const [seed, kinds] of [
    [2, ['stop']],
    [3, ['kill', 'stop']],
  ] as const)
    test(`faults: nothing is lost, doubled, disordered or wrongly dead-lettered by ${kinds.join(' and ')}`, async () => {
      const { prompts, poison, ...wrong } = await trial(
        `faults-${process.pid}-${seed}`,
        broker,
        topics,
        kinds,
        dice(seed),
      )
      assert.ok(prompts > 1000 && poison > 0)
      assert.deepEqual(wrong, { lost: 0, duplicated: 0, outOfOrder: 0, wronglyDead: 0 })
    })
}
