import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { after, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import { findServices } from '../../infra/services.ts'
import { registry } from '../../src/codec/registry.ts'
import type { Prompt } from '../../src/events.ts'
import type { RawRecord } from '../../src/ports.ts'
import { schemas } from '../../src/schemas.ts'
import { start, type Outcome, type Running } from '../support/command-line.ts'
import { own } from '../support/own.ts'
import { openTopics, type ReadRecord, type Topics } from './topics.ts'

const services = await own(findServices)

if ('missing' in services) test('run: on a real broker', { skip: services.missing }, () => {})
else {
  const codec = registry({ url: services.registry })
  const topics: Topics = await openTopics(services.brokers)
  after(async () => {
    await topics.close()
    await services.stop()
  })
  const env = {
    KAFKA_BROKERS: services.brokers.join(','),
    KAFKA_GROUP: 'run',
    SCHEMA_REGISTRY_URL: services.registry,
    PARTITIONS: '3',
  }

  test('run: topics and schemas are made by the scripts in infra, and made once', async () => {
    assert.match(await script('infra/topics.ts'), /^created: prompts, completions, prompts\.dead\n$/)
    assert.match(await script('infra/topics.ts'), /nothing, all are there/)
    assert.match(await script('infra/schemas.ts'), /^prompts-value: .*"id":\d+.*\ncompletions-value: .*"id":\d+.*\n$/)
    assert.equal(await script('infra/schemas.ts'), await script('infra/schemas.ts'))
  })

  async function script(path: string): Promise<string> {
    const args = ['--conditions=source', '--import', 'tsx', path]
    return (await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...env } })).stdout
  }

  const answering = (): Running => start(['run', 'topologies/mixture.ts', '--config', 'test/e2e/echo-on-kafka.ts'], env)

  async function record(prompt: Prompt, key: string): Promise<RawRecord> {
    const value = await codec('prompts', schemas.prompt).encode(prompt)
    return { key: Buffer.from(key), value, headers: [['traceparent', Buffer.from(`trace-${key}`)]] }
  }

  async function answers(count: number): Promise<readonly ReadRecord[]> {
    for (let tries = 0; tries < 60; tries++) {
      const found = await topics.records('completions')
      if (found.length >= count) return found
      await setTimeout(500)
    }
    return assert.fail(`fewer than ${count} completions within half a minute`)
  }

  function receiptsOf({ stdout }: Outcome): number {
    return stdout
      .trim()
      .split('\n')
      .map(line => Number(/"answered":(\d+)/.exec(line)?.[1]))
      .reduce((sum, answered) => sum + answered, 0)
  }

  test('run: answers what a topic holds, dead-letters what it cannot, drains on SIGTERM, and goes on where it was', async () => {
    for (const partition of [0, 1, 2]) {
      const good = Array.from({ length: 20 }, (_, n) => record({ text: `prompt ${n}` }, `${partition}-${n}`))
      await topics.append('prompts', await Promise.all(good), partition)
    }
    const poison: RawRecord = { key: Buffer.from('poison'), value: Buffer.from('nonsense'), headers: [] }
    await topics.append('prompts', [poison, await record({ text: 'refuse me' }, 'refused')], 1)
    const first = answering()
    await answers(60)
    first.process.kill('SIGTERM')
    const outcome = await first.outcome
    assert.equal(outcome.status, 0, outcome.stderr)
    assert.equal(receiptsOf(outcome), 60)

    await topics.append('prompts', [await record({ text: 'later' }, 'later')], 2)
    const second = answering()
    const completions = await answers(61)
    second.process.kill('SIGINT')
    const again = await second.outcome
    assert.equal(again.status, 0, again.stderr)
    assert.equal(receiptsOf(again), 1)

    assert.equal(completions.length, 61)
    const serde = codec('completions', schemas.completion)
    for (const { key, value, headers } of completions) {
      const completion = await serde.decode(value ?? Buffer.alloc(0))
      const { partition, offset } = completion.provenance.source
      assert.equal(completion.id, `prompts-${partition}-${offset}`)
      assert.equal(String(key), completion.text.startsWith('later') ? 'later' : `${partition}-${offset}`)
      assert.deepEqual(
        headers.map(([name, content]) => [name, String(content)]),
        [['traceparent', `trace-${String(key)}`]],
      )
    }
    const letters = await topics.records('prompts.dead')
    const codes = letters.map(
      ({ key, headers }) => [String(key), String(new Map(headers).get('__lorastream.errors.code'))] as const,
    )
    assert.deepEqual(
      new Map(codes),
      new Map([
        ['poison', 'SCHEMA_MISMATCH'],
        ['refused', 'PROMPT_TOO_LONG'],
      ]),
    )
    assert.equal(letters.length, 2)
  })
}
