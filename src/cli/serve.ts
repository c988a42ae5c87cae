import { setTimeout as delay } from 'node:timers/promises'
import type { AnyLorastreamError } from '../errors.ts'
import type { Transport } from '../ports.ts'
import { run, type Resources } from '../topology.ts'
import { giveUp } from './drain.ts'
import { serveHealth, type Health } from './health.ts'
import { codecOf, kafkaFromEnvironment, type CodecName } from './kafka-environment.ts'
import { loadTopology } from './load-module.ts'
import { Monitor } from './monitor.ts'
import type { PartChoice } from './options.ts'
import { chooseParts } from './parts.ts'
import { openAll } from './resources.ts'
import type { Terminal } from './terminal.ts'
import { Watchdog } from './watchdog.ts'

/** For what clients have left behind, before the process ends all the same. */
const EXIT_MS = 1000
/** A forward pass of a window takes seconds; one that hangs never ends. */
const FORWARD_MS = 5000
/** For the last lines to be written. */
const PRINT_MS = 100

export type ServeOptions = {
  readonly choice: PartChoice
  /** Where there is no config. */
  readonly codec: CodecName
  /** How long what was read may take after a signal. */
  readonly drainSeconds: number
  /** 0: never. */
  readonly watchdogSeconds: number
  /** Whether to end when the watchdog has noticed something, or only to tell. */
  readonly watchdogExit: boolean
  readonly health?: { readonly port: number; readonly host?: string }
}

/**
 * Runs the topology of a file until it is stopped, with probes and a watchdog. The first signal drains, within its time. When that
 * is over, or when the watchdog is to end it, or when anything fails, it leaves the group and ends the process, whatever
 * still runs.
 */
export async function serve(path: string, options: ServeOptions, terminal: Terminal): Promise<void> {
  const signal = terminal.stopping()
  const { drainSeconds, watchdogSeconds, watchdogExit } = options
  let transport: Transport | undefined
  let parts: Resources | undefined
  let timer: NodeJS.Timeout | undefined
  const early: { end?: (reason: 'late' | AnyLorastreamError) => void } = {}
  const ended = new Promise<'late' | AnyLorastreamError>(resolve => {
    early.end = resolve
  })
  const monitor = new Monitor({
    ...(watchdogSeconds > 0 && { watchdog: new Watchdog(watchdogSeconds * 1000) }),
    onStall: stall => {
      if (watchdogExit) early.end?.(stall)
      else terminal.note(`${stall.code}: ${stall.message}`)
    },
  })
  signal.addEventListener('abort', () => {
    monitor.draining()
    terminal.note(`stopping: what was read is answered first, for ${drainSeconds} s at most`)
    timer = setTimeout(() => early.end?.('late'), drainSeconds * 1000)
  })
  let health: Health | undefined
  try {
    const why = await Promise.race([ended, answer()])
    if (why === 'late') throw await giveUp(transport, drainSeconds)
    if (why === undefined) {
      // It was asked to stop, and did.
      process.exitCode = 0
      // All is settled and closed; what a client has left behind, such as a timer of a request, holds up nothing.
      setTimeout(() => process.exit(), EXIT_MS).unref()
      return
    }
    await giveUp(transport, watchdogSeconds)
    throw why
  } catch (error) {
    void endWithin(FORWARD_MS)
    throw error
  } finally {
    clearTimeout(timer)
    monitor.close()
    await health?.close()
  }

  /**
   * What is left may never end. But a process that exits in the middle of a forward pass is aborted by ONNX Runtime's binding, with
   * another status: a pass that has begun gets its time.
   */
  async function endWithin(ms: number): Promise<void> {
    const closed = parts === undefined ? [] : [parts.engine.close(), parts.pool.close()]
    await Promise.race([Promise.allSettled(closed), delay(ms)])
    await delay(PRINT_MS)
    process.exit(1)
  }

  async function answer(): Promise<undefined> {
    const topology = await loadTopology(path)
    health = await probes()
    const { config, open } = await chooseParts(options.choice, terminal)
    transport = config === undefined ? kafkaFromEnvironment(codecOf(options.codec)) : await config.transport()
    const resources = await openAll(transport, open, terminal)
    parts = resources
    const { facts } = resources.engine
    terminal.note(`answering with ${facts.base.id}, ${facts.precision}`)
    monitor.opened(transport, facts)
    const onReceipt = (receipt: object): void => void terminal.print(JSON.stringify(receipt))
    await run(topology, resources, { signal, onReceipt })
  }

  async function probes(): Promise<Health | undefined> {
    if (options.health === undefined) return undefined
    const { port } = options.health
    const opened = await serveHealth({ ...options.health, live: () => monitor.live(), ready: () => monitor.ready() })
    terminal.note(`health: port ${opened.port}${port === 0 ? ', chosen by the system' : ''}, /livez and /readyz`)
    return opened
  }
}
