import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { serveHealth } from '../../src/cli/health.ts'
import { Monitor } from '../../src/cli/monitor.ts'
import { Watchdog } from '../../src/cli/watchdog.ts'
import { avro } from '../../src/codec/avro.ts'
import { ConfigError } from '../../src/errors.ts'
import type { Transport, TransportStatus } from '../../src/ports.ts'
import { memory } from '../../src/transport/memory.ts'
import { echoEngine } from '../support/fakes.ts'

const fine: TransportStatus = {
  joined: true,
  partitions: [{ topic: 'prompts', partition: 0, position: 4, read: 4, end: 4, lag: 0, open: 0 }],
  inFlight: { events: 0, bytes: 0 },
  retrying: [],
}

/** A transport that tells the status that it is given. */
function telling(status: () => TransportStatus): Transport {
  return { ...memory({ codec: avro() }), status: async () => status() }
}

/** Until a monitor has looked. */
async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    assert.ok(tries < 600, 'not within 30 s')
    await setTimeout(50)
  }
}

const { facts } = echoEngine()

test('health: ready when everything is open and the transport is, and not while it drains', async t => {
  const monitor = new Monitor({ onStall: () => {} })
  t.after(() => monitor.close())
  assert.deepEqual(monitor.ready().body['reasons'], ['the parts are being opened'])
  assert.equal(monitor.live().ok, true)
  monitor.opened(
    telling(() => fine),
    facts,
  )
  await until(() => monitor.ready().ok)
  monitor.draining()
  assert.equal(monitor.ready().ok, false)
  assert.match(String(monitor.ready().body['reasons']), /^draining/)
  assert.equal(monitor.live().ok, true)
})

test('health: not ready says why, with what is tried again since when', async t => {
  const retrying = [{ what: 'topic "prompts" offset 4', reason: 'registry: refused', since: 0, attempts: 3 }]
  for (const [status, reason] of [
    [{ ...fine, joined: false, partitions: [] }, /the group has not assigned partitions yet/],
    [{ ...fine, unreachable: 'connect ECONNREFUSED' }, /the cluster does not answer: connect ECONNREFUSED/],
    [{ ...fine, partitions: [{ topic: 'prompts', partition: 2, open: 0 }] }, /partition 2 is being taken over/],
    [{ ...fine, retrying }, /tried again: topic "prompts" offset 4: registry: refused/],
  ] as const) {
    const monitor = new Monitor({ onStall: () => {} })
    t.after(() => monitor.close())
    monitor.opened(
      telling(() => status),
      facts,
    )
    await until(() => reason.test(String(monitor.ready().body['reasons'])))
    assert.equal(monitor.ready().ok, false)
    assert.equal(monitor.live().ok, true)
    if (status.retrying.length > 0)
      assert.match(JSON.stringify(monitor.ready().body), /"since":"1970-01-01T00:00:00\.000Z","?attempts?"?/)
  }
})

test('health: what stands still is told once, and fails both probes until it moves', async t => {
  const told: string[] = []
  const stuck = { ...fine, partitions: [{ topic: 'prompts', partition: 0, position: 4, read: 5, lag: 3, open: 1 }] }
  let status: TransportStatus = stuck
  const monitor = new Monitor({ watchdog: new Watchdog(0), onStall: ({ code }) => void told.push(code) })
  t.after(() => monitor.close())
  monitor.opened(
    telling(() => status),
    facts,
  )
  await until(() => !monitor.live().ok)
  assert.match(String(monitor.live().body['reasons']), /^STAGE_FAILED: topic "prompts" partition 0 offset 4: 3 behind/)
  assert.equal(monitor.ready().ok, false)
  status = fine
  await until(() => monitor.live().ok)
  assert.deepEqual(told, ['STAGE_FAILED'])
})

test('health: a transport without a status is ready when it is open', t => {
  const monitor = new Monitor({ onStall: () => {} })
  t.after(() => monitor.close())
  monitor.opened(memory({ codec: avro() }), facts)
  assert.equal(monitor.ready().ok, true)
})

test('health: GET and HEAD of the two probes, 503 with reasons, and nothing else', async t => {
  const health = await serveHealth({
    port: 0,
    host: '127.0.0.1',
    live: () => ({ ok: true, body: { status: 'ok' } }),
    ready: () => ({ ok: false, body: { status: 'failing', reasons: ['why'] } }),
  })
  t.after(() => health.close())
  const url = `http://127.0.0.1:${health.port}`
  const live = await fetch(`${url}/livez?verbose`)
  assert.deepEqual([live.status, await live.json()], [200, { status: 'ok' }])
  assert.equal(live.headers.get('content-type'), 'application/json')
  const ready = await fetch(`${url}/readyz`)
  assert.deepEqual([ready.status, await ready.json()], [503, { status: 'failing', reasons: ['why'] }])
  const head = await fetch(`${url}/readyz`, { method: 'HEAD' })
  assert.deepEqual([head.status, await head.text()], [503, ''])
  const post = await fetch(`${url}/livez`, { method: 'POST' })
  assert.deepEqual([post.status, post.headers.get('allow')], [405, 'GET, HEAD'])
  for (const path of ['/', '/metrics', '/__proto__', '/livez/'])
    assert.equal((await fetch(`${url}${path}`)).status, 404, path)
})

test('health: a body is not waited for: the answer comes before it, and the connection is closed', async t => {
  const live = () => ({ ok: true, body: {} })
  const health = await serveHealth({ port: 0, host: '127.0.0.1', live, ready: live })
  t.after(() => health.close())
  const socket = connect(health.port, '127.0.0.1')
  let answer = ''
  socket.setEncoding('utf8').on('data', (text: string) => (answer += text))
  socket.write('POST /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n')
  await once(socket, 'close')
  assert.match(answer, /^HTTP\/1\.1 405 .*^allow: GET, HEAD\r$/ms)
})

test('health: long headers are refused, and a port that is taken is a wrong configuration', async t => {
  const live = () => ({ ok: true, body: {} })
  const health = await serveHealth({ port: 0, host: '127.0.0.1', live, ready: live })
  t.after(() => health.close())
  const socket = connect(health.port, '127.0.0.1')
  socket.write(`GET /livez HTTP/1.1\r\nhost: x\r\nlong: ${'x'.repeat(20_000)}\r\n\r\n`)
  const answer: unknown = (await once(socket, 'data')).at(0)
  assert.match(String(answer), /^HTTP\/1\.1 431/)
  socket.destroy()
  await assert.rejects(serveHealth({ port: health.port, host: '127.0.0.1', live, ready: live }), (error: unknown) => {
    assert.ok(error instanceof ConfigError)
    assert.match(error.message, /cannot listen on 127\.0\.0\.1, port \d+: .*EADDRINUSE/)
    return true
  })
})
