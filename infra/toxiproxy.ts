import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { eventually, freePort } from './java.ts'
import { missingProgram } from './program.ts'

const execute = promisify(execFile)
const bin = fileURLToPath(new URL('../.cache/bin', import.meta.url))
const source = 'github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0'
/** It is compiled, on a machine that may be busy. */
const INSTALL_TIMEOUT_MS = 300_000
const START_TIMEOUT_MS = 20_000

/** What a link does to what passes it, in Toxiproxy's own words. */
export type Toxic =
  | { readonly type: 'latency'; readonly attributes: { readonly latency: number; readonly jitter: number } }
  /** Nothing passes, and nobody is told. When it ends, connections are closed. */
  | { readonly type: 'timeout'; readonly attributes: { readonly timeout: 0 } }
  /** Connections are reset after so many ms. */
  | { readonly type: 'reset_peer'; readonly attributes: { readonly timeout: number } }

/** A link that faults can be made on. */
export type Link = {
  readonly port: number
  /** Both ways, until `heal`. */
  poison(toxic: Toxic): Promise<void>
  /** Connections are closed, new ones refused, until `heal`. */
  cut(): Promise<void>
  heal(): Promise<void>
}

export type Toxiproxy = {
  /** A link to a port of this machine. */
  link(name: string, to: number): Promise<Link>
  stop(): Promise<void>
}

/**
 * Toxiproxy: `toxiproxy-server` of the PATH, else what `go install` has put, or now puts, into `.cache/bin`. Where it cannot be
 * had, the reason.
 */
export async function findToxiproxy(): Promise<Toxiproxy | { readonly missing: string }> {
  const program = await find()
  return typeof program === 'string' ? await start(program) : program
}

async function find(): Promise<string | { readonly missing: string }> {
  if ((await missingProgram('toxiproxy-server', '-version')) === undefined) return 'toxiproxy-server'
  const program = `${bin}/server`
  if (existsSync(program)) return program
  try {
    await execute('go', ['install', source], { timeout: INSTALL_TIMEOUT_MS, env: { ...process.env, GOBIN: bin } })
    return program
  } catch (error) {
    const [reason] = (error instanceof Error ? error.message : String(error)).split('\n')
    return { missing: `toxiproxy-server is not on the PATH, and "go install ${source}" failed: ${reason}` }
  }
}

async function start(program: string): Promise<Toxiproxy> {
  const port = await freePort()
  const server = spawn(program, ['-host', '127.0.0.1', '-port', String(port)], { stdio: 'ignore' })
  // It must not outlive a process that throws.
  const end = (): void => void server.kill('SIGKILL')
  process.once('exit', end)
  const call = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`toxiproxy: ${method} ${path} answers ${response.status}: ${text}`)
    return text === '' ? undefined : JSON.parse(text)
  }
  await eventually(START_TIMEOUT_MS, () => call('GET', '/version').catch(notJson))
  return {
    async link(name, to) {
      const made = await call('POST', '/proxies', { name, listen: '127.0.0.1:0', upstream: `127.0.0.1:${to}` })
      return {
        port: portOf(made),
        poison: async toxic => {
          for (const stream of ['upstream', 'downstream'])
            await call('POST', `/proxies/${name}/toxics`, { ...toxic, stream, name: stream })
        },
        cut: async () => void (await call('POST', `/proxies/${name}`, { enabled: false })),
        heal: async () => {
          await call('POST', `/proxies/${name}`, { enabled: true })
          const toxics = await call('GET', `/proxies/${name}/toxics`)
          for (const stream of Array.isArray(toxics) ? toxics : [])
            await call('DELETE', `/proxies/${name}/toxics/${nameOf(stream)}`)
        },
      }
    },
    async stop() {
      process.off('exit', end)
      const gone = once(server, 'exit')
      end()
      await gone
    },
  }
}

/** It tells its version as plain text. */
function notJson(error: unknown): void {
  if (!(error instanceof SyntaxError)) throw error
}

function portOf(proxy: unknown): number {
  if (typeof proxy === 'object' && proxy !== null && 'listen' in proxy && typeof proxy.listen === 'string')
    return Number(proxy.listen.split(':').at(-1))
  throw new Error(`toxiproxy: ${JSON.stringify(proxy)} says no port`)
}

function nameOf(toxic: unknown): string {
  if (typeof toxic === 'object' && toxic !== null && 'name' in toxic) return String(toxic.name)
  throw new Error(`toxiproxy: ${JSON.stringify(toxic)} has no name`)
}
