import assert from 'node:assert/strict'
import { test } from 'node:test'
import { engineAlone } from '../../src/cli/bench/transport-loops.ts'
import { answerRecord } from '../../src/cli/bench/transport-runs.ts'
import { avro } from '../../src/codec/avro.ts'
import type { Engine } from '../../src/ports.ts'
import { schemas } from '../../src/schemas.ts'
import { run } from '../../src/topology.ts'
import { memory } from '../../src/transport/memory.ts'
import { echoEngine, fixedPool } from '../support/fakes.ts'

const topics = { prompts: 'prompts', completions: 'completions' }

/** Runs the topology over prompts, and gives the bytes of what it answered. */
async function answered(engine: Engine, ...texts: readonly string[]) {
  const codec = avro()
  const serde = codec('completions', schemas.completion)
  const like = await serde.decode((await answerRecord({ codec })).value ?? new Uint8Array())
  const transport = memory({ codec })
  await transport.produce(
    'prompts',
    schemas.prompt,
    texts.map(text => ({ text })),
  )
  transport.topics.end('prompts')
  await run(engineAlone(like)(topics, 2), { transport, engine, pool: fixedPool([]) })
  return await Promise.all(
    transport.topics.records('completions').map(({ value }) => serde.decode(value ?? Buffer.of())),
  )
}

test('the engine alone: what it answers is written, in the form of a given completion', async () => {
  const found = await answered(echoEngine(), 'one', 'two', 'three')
  assert.deepEqual(
    found.map(({ text }) => text),
    ['one []', 'two []', 'three []'],
  )
})

test('the engine alone: a row that is refused, or left out, fails the run with what the engine said', async () => {
  await assert.rejects(answered(echoEngine(), 'one', 'refuse me'), {
    code: 'PROMPT_TOO_LONG',
    message: 'row of 9 characters',
  })
  const silent: Engine = { ...echoEngine(), run: async () => [] }
  await assert.rejects(answered(silent, 'one'), { code: 'STAGE_FAILED', message: 'echo answered 0 of 1 rows' })
})
