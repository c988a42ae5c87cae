import type { ErrorData } from '../errors.ts'
import type { PartitionStatus, TransportStatus } from '../ports.ts'

/** What counts of the time between two looks: a process that was asleep for an hour did not stand still for an hour. */
const MAX_STEP_MS = 10_000

type Since = { readonly at: string; readonly since: number }

/**
 * Notices that there is work and nothing comes of it. Two things can stand still: the instance, when events are open and for the
 * whole time none was delivered or committed anywhere; and a partition, when it is not taken over, or is behind with nothing
 * open. While something is known to be tried again, or the cluster does not answer, the time does not run: the log and the
 * status say what is wrong, and a restart would not mend it.
 */
export class Watchdog {
  readonly #ms: number
  readonly #partitions = new Map<string, Since>()
  #instance: Since | undefined
  #looked: number | undefined
  #clock = 0

  /** `ms` without progress are too long. */
  constructor(ms: number) {
    this.#ms = ms
  }

  /** What stands still, as of `now` in ms of any clock that never goes back; undefined where nothing does. */
  look(status: TransportStatus, now: number): ErrorData | undefined {
    const { joined, partitions, retrying, unreachable, lastCommit, lastDelivery } = status
    this.#clock += Math.min(now - (this.#looked ?? now), MAX_STEP_MS)
    this.#looked = now
    if (!joined || retrying.length > 0 || unreachable !== undefined) {
      this.#partitions.clear()
      this.#instance = undefined
      return undefined
    }
    const working = partitions.find(({ open }) => open > 0)
    const at = `${lastCommit}/${lastDelivery}`
    if (working === undefined) this.#instance = undefined
    else if (this.#instance?.at !== at) this.#instance = { at, since: this.#clock }
    const stuck = partitions.filter(one => this.#stands(one))
    if (working !== undefined && this.#instance !== undefined && this.#clock - this.#instance.since >= this.#ms)
      return { code: 'STAGE_FAILED', message: this.#message(working, `${status.inFlight.events} events are open`) }
    const [first] = stuck
    if (first === undefined) return undefined
    const state = first.read === undefined ? 'the partition is not taken over' : 'none of it is read'
    return { code: 'TRANSPORT_FAILED', message: this.#message(first, state) }
  }

  #stands(partition: PartitionStatus): boolean {
    const key = `${partition.topic}/${partition.partition}`
    const { read, open, lag } = partition
    if (read !== undefined && (open > 0 || lag === undefined || lag === 0)) {
      this.#partitions.delete(key)
      return false
    }
    const before = this.#partitions.get(key)
    if (before?.at === String(read)) return this.#clock - before.since >= this.#ms
    this.#partitions.set(key, { at: String(read), since: this.#clock })
    return false
  }

  #message({ topic, partition, position, lag }: PartitionStatus, state: string): string {
    const place = `topic "${topic}" partition ${partition} offset ${position ?? 'unknown'}`
    return `${place}: ${lag ?? 'unknown'} behind, ${state}, and nothing was delivered or committed for ${this.#ms / 1000} s`
  }
}
