import { setTimeout } from 'node:timers/promises'
import { TransportError } from '../errors.ts'
import type { Transport } from '../ports.ts'

/** For commits that have begun, and to leave the group, so that others take over at once. */
const LEAVE_MS = 5_000
/** As many partitions as a line can name. */
const MAX_NAMED = 8

/**
 * Gives up what is in flight: what was read and not answered is told, and the transport is closed, which lets commits that
 * have begun end, within 5 s. Returns the error to end with.
 */
export async function giveUp(transport: Transport | undefined, seconds: number): Promise<TransportError> {
  const left = await leftIn()
  const late = setTimeout(LEAVE_MS, 'late' as const, { ref: false })
  const closed = (transport?.close() ?? Promise.resolve()).then(() => '').catch(() => 'failed' as const)
  const result = await Promise.race([closed, late])
  const end = result === '' ? '' : '; the group was not left in time, and will notice by itself'
  return new TransportError(`${left}${end}`)

  async function leftIn(): Promise<string> {
    if (transport === undefined) return `the parts were not open within ${seconds} s after the signal; nothing was read`
    const status = await transport.status?.()
    if (status === undefined) return `what was read is not answered within ${seconds} s; it will be read again`
    const open = status.partitions.filter(one => one.open > 0)
    const named = open
      .slice(0, MAX_NAMED)
      .map(({ topic, partition, position = '?' }) => `topic "${topic}" partition ${partition} from offset ${position}`)
    const more = open.length > named.length ? [`${open.length - named.length} more partitions`] : []
    const places = named.length > 0 ? ` (${[...named, ...more].join(', ')})` : ''
    if (status.inFlight.events === 0 && open.length > 0)
      return `positions behind answers${places} are not committed within ${seconds} s; the last answers will be given again`
    return `${status.inFlight.events} events${places} are not answered within ${seconds} s; they will be read again`
  }
}
