import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { eventually } from '../../infra/java.ts'
import { findServices } from '../../infra/services.ts'
import { registry } from '../../src/codec/registry.ts'
import { schemas } from '../../src/schemas.ts'
import { own } from '../support/own.ts'
import { startInstance, type Instance } from './instance.ts'
import { plan } from './plan.ts'
import { numberedPrompts } from './prompts.ts'
import { tally } from './tally.ts'
import { openTopics } from './topics.ts'

const services = await own(findServices)
const PARTITIONS = 12
/** Instances take seconds to start on a busy machine, and one that died is missed after its session. */
const PATIENCE_MS = 90_000

if ('missing' in services) test('instances: on a real broker', { skip: services.missing }, () => {})
else {
  const topics = await openTopics(services.brokers)
  after(async () => {
    await topics.close()
    await services.stop()
  })
  const name = `instances-${process.pid}`
  const env = {
    KAFKA_BROKERS: services.brokers.join(','),
    SCHEMA_REGISTRY_URL: services.registry,
    TRIAL: name,
    // What brokers take unless they are told otherwise.
    TRIAL_SESSION_MS: '6000',
  }

  test('instances: three share twelve partitions, while one joins, one leaves and one dies', async t => {
    const [input, output, dead] = [`${name}.prompts`, `${name}.completions`, `${name}.dead`]
    await topics.create([input, output, dead], PARTITIONS)
    const rounds = 4
    const drawn = plan({ seed: 1, kinds: [], prompts: rounds * PARTITIONS * 10, ms: 0 })
    const prompts = await numberedPrompts(input, services.registry, drawn, 32)
    const instances: Instance[] = []
    t.after(() => Promise.all(instances.map(instance => instance.kill())))

    const shared = (expected: readonly number[]): Promise<void> =>
      eventually(PATIENCE_MS, async () => assert.deepEqual(await topics.shares(name), expected))

    const passedAll = (): Promise<void> =>
      eventually(PATIENCE_MS, async () => {
        const { passed, all } = await topics.progress(name, input)
        assert.equal(passed, all)
      })

    async function append(count: number): Promise<void> {
      for (let partition = 0; partition < PARTITIONS; partition++)
        await topics.append(input, await prompts.next(count), partition)
    }

    /**
     * Ten more prompts for each partition. Half of them are waited for, so that every instance answers before one of them goes;
     * the others are not, so that the next change finds some in flight.
     */
    async function ask(): Promise<void> {
      await append(5)
      await passedAll()
      await append(5)
    }

    instances.push(startInstance(env, undefined), startInstance(env, undefined))
    await shared([6, 6])
    await ask()
    instances.push(startInstance(env, undefined))
    await shared([4, 4, 4])
    await ask()
    const [first, second] = instances
    assert.equal(await first?.leave(), true)
    await shared([6, 6])
    await ask()
    await second?.kill()
    await shared([12])
    await ask()

    await passedAll()
    const positions = await topics.positions(name, input)
    const asked = (await topics.records(input)).map(record => ({
      record,
      ...prompts.read(record),
      passed: record.offset < (positions.get(record.partition) ?? 0n),
    }))
    const serde = registry({ url: services.registry })(output, schemas.completion)
    const answers = await topics.records(output)
    const counted = await tally(asked, answers, await topics.records(dead), value => serde.decode(value), true)
    const { prompts: number, poison, ...wrong } = counted
    assert.deepEqual(wrong, { lost: 0, unanswered: 0, duplicated: 0, outOfOrder: 0, wronglyDead: 0, wrong: 0 })
    assert.equal(number, rounds * PARTITIONS * 10)
    assert.equal(answers.length, number - poison)
    // A window's id ends with its instance's.
    const windows = await Promise.all(answers.map(({ value }) => serde.decode(value ?? Buffer.alloc(0))))
    assert.equal(new Set(windows.map(({ provenance }) => provenance.window.id.split('.').at(-1))).size, 3)
  })
}
