import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EMPTY, map, NEVER, of, throwError, timer } from 'rxjs'
import { avro } from '../src/codec/avro.ts'
import { compose } from '../src/compose/compose.ts'
import { defineConfig, env } from '../src/config.ts'
import { ConfigError, TransportError } from '../src/errors.ts'
import type { Receipt } from '../src/events.ts'
import { infer } from '../src/infer/infer.ts'
import type { Engine } from '../src/ports.ts'
import { publish } from '../src/publish/publish.ts'
import { retrieve } from '../src/retrieve/retrieve.ts'
import { schemas } from '../src/schemas.ts'
import { defineTopology, run, type Resources } from '../src/topology.ts'
import { memory, type MemoryTransport } from '../src/transport/memory.ts'
import { window } from '../src/window/window.ts'
import { environment } from './support/environment.ts'
import { adapter, echoEngine, fixedPool } from './support/fakes.ts'

const receipt: Receipt = { window: 'w', closedBy: 'END', answered: 1, failed: 0, newTokens: 1, ms: {} }

/** Parts that write down when they are closed. */
function parts(): Resources & { readonly transport: MemoryTransport; readonly closed: readonly string[] } {
  const closed: string[] = []
  const transport = memory({ codec: avro(), deadLetters: 'prompts.dead' })
  return {
    closed,
    transport: {
      ...transport,
      close: async () => {
        closed.push('transport')
        await transport.close()
      },
    },
    engine: { ...echoEngine(), close: async () => void closed.push('engine') },
    pool: { ...fixedPool([adapter('a')]), close: async () => void closed.push('pool') },
  }
}

const answering = defineTopology(({ transport, pool, engine }) =>
  transport
    .source('prompts', schemas.prompt)
    .pipe(
      window({ size: 4, ms: 10_000 }),
      retrieve(pool),
      compose('mixture'),
      infer(engine),
      publish(transport.sink('completions', schemas.completion)),
    ),
)

test('run: ends with its sources, tells every receipt and closes transport, engine and pool', async () => {
  const resources = parts()
  const receipts: Receipt[] = []
  await run(() => of(receipt, receipt), resources, { onReceipt: one => receipts.push(one) })
  assert.equal(receipts.length, 2)
  assert.deepEqual(resources.closed, ['transport', 'engine', 'pool'])
})

test('run: on abort the open window is answered and published, then the parts close', async () => {
  const resources = parts()
  const stop = new AbortController()
  await resources.transport.produce('prompts', schemas.prompt, [{ text: 'a' }, { text: 'b' }, { text: 'c' }])
  const running = run(answering, resources, { signal: stop.signal })
  await new Promise(resolve => setImmediate(resolve))
  stop.abort()
  await running
  const completions = await resources.transport.read('completions', schemas.completion)
  assert.deepEqual(
    completions.map(({ text, provenance }) => [text, provenance.window.closedBy]),
    ['a', 'b', 'c'].map(text => [`${text} [1*a]`, 'END']),
  )
  assert.equal(resources.transport.topics.committed('prompts', 0), 3n)
  assert.deepEqual(resources.closed, ['transport', 'engine', 'pool'])
})

test('run: what ends the stream is thrown, after the parts are closed', async () => {
  const resources = parts()
  const broken = new TransportError('broker gone')
  await assert.rejects(
    run(() => throwError(() => broken), resources),
    broken,
  )
  assert.equal(resources.closed.length, 3)
})

test('run: a topology that throws while it is built still closes the parts', async () => {
  const resources = parts()
  await assert.rejects(
    run(() => {
      throw new ConfigError('size is 0')
    }, resources),
    ConfigError,
  )
  assert.equal(resources.closed.length, 3)
})

test('run: a part that does not close neither hides the first error nor keeps the others open', async () => {
  const resources = parts()
  const engine: Engine = { ...resources.engine, close: async () => Promise.reject(new Error('worker stuck')) }
  await assert.rejects(
    run(() => EMPTY, { ...resources, engine }),
    /worker stuck/,
  )
  assert.deepEqual(resources.closed, ['transport', 'pool'])
  const broken = new TransportError('broker gone')
  await assert.rejects(
    run(() => throwError(() => broken), { ...parts(), engine }),
    broken,
  )
})

test('run: aborted before it begins, it reads nothing', async () => {
  const resources = parts()
  await run(() => NEVER, resources, { signal: AbortSignal.abort() })
  assert.equal(resources.closed.length, 3)
})

test('run: a listener that throws ends the run', async () => {
  const resources = parts()
  const endless = defineTopology(() => timer(0, 1).pipe(map(() => receipt)))
  await assert.rejects(run(endless, resources, { onReceipt: () => assert.fail('disk full') }), /disk full/)
  assert.equal(resources.closed.length, 3)
})

test('config: env gives what is set, the fallback, or an error that names the variable', t => {
  assert.throws(
    () => env('LORASTREAM_TEST'),
    new ConfigError('environment variable LORASTREAM_TEST is not set, expected a value'),
  )
  environment(t, { LORASTREAM_TEST: 'set' })
  assert.equal(env('LORASTREAM_TEST'), 'set')
  process.env['LORASTREAM_TEST'] = ''
  assert.equal(env('LORASTREAM_TEST', 'fallback'), 'fallback')
})

test('config: each part is opened on its own', async () => {
  const resources = parts()
  const config = defineConfig({
    transport: () => resources.transport,
    pool: async () => resources.pool,
    engine: () => assert.fail('nobody asked for an engine'),
  })
  assert.equal(await config.pool(), resources.pool)
})
