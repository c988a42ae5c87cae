import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'

/** As kafkajs itself has it. */
const KEEP_ALIVE_MS = 60_000

type Wanted = {
  readonly host: string
  readonly port: number
  /** As it was given to kafkajs; null where nothing was, whatever its types say. */
  readonly ssl?: ConnectionOptions | boolean | null
  readonly onConnect: () => void
}

/**
 * The sockets of one client. kafkajs forgets some: two attempts to connect at the same time overwrite each other's, and
 * what is tried again in the background connects after the client was told to disconnect. They would keep the process
 * alive, and be one more each time.
 */
export class Sockets {
  readonly #open = new Set<Socket>()
  #closed = false

  /** For kafkajs's `socketFactory`. Throws after `close`. */
  readonly factory = ({ host, port, ssl, onConnect }: Wanted): Socket => {
    if (this.#closed) throw new Error('the client is closed')
    const named = isIP(host) === 0 ? { servername: host } : {}
    const tls = ssl === true ? {} : ssl
    const socket =
      tls === undefined || tls === null || tls === false
        ? connect({ host, port }, onConnect)
        : connectTls({ host, port, ...named, ...tls }, onConnect)
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    this.#open.add(socket)
    socket.once('close', () => this.#open.delete(socket))
    return socket
  }

  get open(): number {
    return this.#open.size
  }

  /** Ends all that are still open; there will be no others. */
  close(): void {
    this.#closed = true
    // With an error, so that who waits for an answer is told.
    for (const socket of this.#open) socket.destroy(new Error('the client is closed'))
  }
}
