import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { ConfigError } from '../errors.ts'
import type { Report } from './monitor.ts'

/** A probe is a line and a few headers. */
const MAX_HEADER_BYTES = 8 * 1024
/** One orchestrator asks, and perhaps somebody who is curious. */
const MAX_CONNECTIONS = 32
/** Who takes longer to ask is not a probe. */
const REQUEST_TIMEOUT_MS = 5_000

export type HealthOptions = {
  /** 0: the system chooses. */
  readonly port: number
  /** The interface, by default all: probes come from outside. */
  readonly host?: string
  readonly live: () => Report
  readonly ready: () => Report
}

export type Health = { readonly port: number; close(): Promise<void> }

/**
 * Answers `GET /livez` and `GET /readyz` with JSON: 200, or 503 with `reasons`. Nothing else is served, and nothing is read
 * of a request but its line. Throws ConfigError where the port cannot be had.
 */
export async function serveHealth({ port, host, live, ready }: HealthOptions): Promise<Health> {
  const probes: Readonly<Record<string, () => Report>> = { '/livez': live, '/readyz': ready }
  const limits = { maxHeaderSize: MAX_HEADER_BYTES, requestTimeout: REQUEST_TIMEOUT_MS }
  const server = createServer({ ...limits, headersTimeout: REQUEST_TIMEOUT_MS }, answer)
  server.maxConnections = MAX_CONNECTIONS
  try {
    server.listen({ port, ...(host !== undefined && { host }) })
    await once(server, 'listening')
  } catch (error) {
    const place = host === undefined ? `port ${port}` : `${host}, port ${port}`
    const reason = error instanceof Error ? error.message : String(error)
    throw new ConfigError(`the health endpoint cannot listen on ${place}: ${reason}`, { cause: error })
  }
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    async close() {
      server.close()
      server.closeAllConnections()
    },
  }

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url = '' } = request
    const [path = ''] = url.split('?')
    const probe = Object.hasOwn(probes, path) ? probes[path] : undefined
    // Bodies are not read, so the connection cannot be used again.
    response.setHeader('connection', 'close')
    if (method !== 'GET' && method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD')
      return reply(405, { status: 'failing', reasons: ['only GET and HEAD are answered'] })
    }
    if (probe === undefined) return reply(404, { status: 'failing', reasons: ['only /livez and /readyz are here'] })
    const { ok, body } = probe()
    reply(ok ? 200 : 503, body)

    function reply(status: number, content: Report['body']): void {
      const text = `${JSON.stringify(content)}\n`
      const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' }
      response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(text) })
      response.end(method === 'HEAD' ? undefined : text)
    }
  }
}
