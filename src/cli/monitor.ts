import { setTimeout } from 'node:timers/promises'
import { fromErrorData, toErrorData, type AnyLorastreamError, type ErrorData } from '../errors.ts'
import type { EngineFacts } from '../events.ts'
import type { Transport, TransportStatus } from '../ports.ts'
import { version } from '../version.ts'
import type { Watchdog } from './watchdog.ts'

/** Probes come every few seconds; they are answered from the last look, so that they cost the cluster nothing. */
const LOOK_MS = 2_000

/** How far the process is: opening its parts, answering, or answering the last before it ends. */
export type Phase = 'opening' | 'answering' | 'draining'

/** An answer to a probe. */
export type Report = { readonly ok: boolean; readonly body: Readonly<Record<string, unknown>> }

export type MonitorOptions = {
  readonly watchdog?: Watchdog
  /** Told of what stands still, once each time. */
  readonly onStall: (stall: AnyLorastreamError) => void
}

/** Looks at the transport every other second, lets the watchdog look too, and answers probes. */
export class Monitor {
  readonly #options: MonitorOptions
  readonly #over = new AbortController()
  readonly #started = Date.now()
  #phase: Phase = 'opening'
  #engine: EngineFacts | undefined
  #transport: Transport | undefined
  #status: TransportStatus | undefined
  #stall: ErrorData | undefined

  constructor(options: MonitorOptions) {
    this.#options = options
  }

  /** Everything is open; from now on the transport is looked at. */
  opened(transport: Transport, engine: EngineFacts): void {
    this.#transport = transport
    this.#engine = engine
    if (this.#phase === 'opening') this.#phase = 'answering'
    void this.#watch()
  }

  draining(): void {
    this.#phase = 'draining'
  }

  close(): void {
    this.#over.abort()
  }

  /** Alive as long as somebody answers and nothing stands still: what only a restart would mend. */
  live(): Report {
    const reasons = this.#stall === undefined ? [] : [`${this.#stall.code}: ${this.#stall.message}`]
    return this.#report(reasons)
  }

  /** Whether prompts are answered now; otherwise why not. */
  ready(): Report {
    const reasons = [...this.#obstacles()]
    return this.#report(this.#stall === undefined ? reasons : [...reasons, this.#stall.message])
  }

  *#obstacles(): Generator<string, void> {
    if (this.#phase === 'opening') yield 'the parts are being opened'
    if (this.#phase === 'draining') yield 'draining: what was read is answered, and nothing more is read'
    if (this.#phase !== 'answering' || this.#transport?.status === undefined) return
    if (this.#status === undefined) yield 'the transport was not looked at yet'
    else yield* obstaclesOf(this.#status)
  }

  #report(reasons: readonly string[]): Report {
    const ok = reasons.length === 0
    const body = {
      status: ok ? 'ok' : 'failing',
      reasons,
      phase: this.#phase,
      version,
      startedAt: time(this.#started),
      ...(this.#engine !== undefined && { engine: { base: this.#engine.base.id, device: this.#engine.device } }),
      ...(this.#status !== undefined && { transport: shown(this.#status) }),
    }
    return { ok, body }
  }

  async #watch(): Promise<void> {
    while (!this.#over.signal.aborted) {
      try {
        this.#status = await this.#transport?.status?.()
        this.#bark()
        await setTimeout(LOOK_MS, undefined, { signal: this.#over.signal, ref: false })
      } catch (error) {
        if (this.#over.signal.aborted) return
        this.#options.onStall(fromErrorData(toErrorData(error)))
        return
      }
    }
  }

  #bark(): void {
    if (this.#status === undefined || this.#options.watchdog === undefined) return
    const stall = this.#options.watchdog.look(this.#status, performance.now())
    const before = this.#stall
    this.#stall = stall
    if (stall !== undefined && before === undefined) this.#options.onStall(fromErrorData(stall))
  }
}

function shown({ lastDelivery, lastCommit, retrying, ...status }: TransportStatus): Readonly<Record<string, unknown>> {
  return {
    ...status,
    ...(lastDelivery !== undefined && { lastDelivery: time(lastDelivery) }),
    ...(lastCommit !== undefined && { lastCommit: time(lastCommit) }),
    retrying: retrying.map(one => ({ ...one, since: time(one.since) })),
  }
}

function time(ms: number): string {
  return new Date(ms).toISOString()
}

function* obstaclesOf({ joined, partitions, retrying, unreachable }: TransportStatus): Generator<string, void> {
  if (unreachable !== undefined) yield `the cluster does not answer: ${unreachable}`
  if (!joined) yield 'the group has not assigned partitions yet'
  for (const { topic, partition, read } of partitions)
    if (read === undefined) yield `topic "${topic}" partition ${partition} is being taken over`
  for (const { what, reason } of retrying) yield `tried again: ${what}: ${reason}`
}
