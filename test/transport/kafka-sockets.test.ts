import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { Sockets } from '../../src/transport/kafka-sockets.ts'

test('kafka: a client leaves no socket behind, and opens none after it was closed', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  const { port } = address
  const sockets = new Sockets()

  async function connected(): Promise<Socket> {
    const arrived = once(server, 'connection')
    const socket = await new Promise<Socket>(resolve => {
      const made = sockets.factory({ host: '127.0.0.1', port, ssl: null, onConnect: () => resolve(made) })
    })
    await arrived
    return socket
  }

  const first = await connected()
  const second = await connected()
  assert.equal(sockets.open, 2)
  first.destroy()
  await once(first, 'close')
  assert.equal(sockets.open, 1)
  const told = once(second, 'error')
  sockets.close()
  const error: unknown = (await told).at(0)
  assert.match(String(error), /the client is closed/)
  await once(second, 'close').catch(() => {})
  assert.equal(sockets.open, 0)
  assert.throws(
    () => sockets.factory({ host: '127.0.0.1', port, ssl: null, onConnect: () => {} }),
    /the client is closed/,
  )
})
