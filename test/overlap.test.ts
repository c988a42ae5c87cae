import assert from 'node:assert/strict'
import { test } from 'node:test'
import { avro } from '../src/codec/avro.ts'
import { schemas } from '../src/schemas.ts'
import { memory } from '../src/transport/memory.ts'
import { numbered, overlapping, windowsOf } from './support/overlap.ts'

test(
  'overlap: while a window is committed the next is inferred and the one after it retrieved, each step in order',
  { timeout: 60_000 },
  async t => {
    const transport = memory({ codec: avro() })
    await transport.produce('prompts', schemas.prompt, numbered(5))
    const order = await overlapping(transport, { prompts: 'prompts', completions: 'completions' }, 5, t.signal)
    for (const step of ['retrieve', 'infer', 'commit'] as const)
      assert.deepEqual(windowsOf(order, step), [1, 2, 3, 4, 5], step)
    for (const window of [1, 2, 3, 4]) {
      assert.ok(order.indexOf(`commit ${window}`) > order.indexOf(`infer ${window}`))
      assert.ok(order.indexOf(`infer ${window}`) > order.indexOf(`retrieve ${window}`))
    }
    assert.equal((await transport.read('completions', schemas.completion)).length, 5)
  },
)
