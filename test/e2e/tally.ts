import type { Completion } from '../../src/events.ts'
import type { Poison } from './plan.ts'
import type { ReadRecord } from './topics.ts'

export const deliveries = ['exactly-once', 'at-least-once'] as const
/** At least once, events may be repeated, but the first of each are in order, and all the rest holds. */
export type Delivery = (typeof deliveries)[number]

/** What a trial counted; all but the first two must be 0. */
export type Tally = {
  readonly prompts: number
  readonly poison: number
  /** Neither answered nor dead-lettered, though the group has passed them. */
  readonly lost: number
  /** Not passed within the trial's time. */
  readonly unanswered: number
  /** Answers and dead letters beyond the first. */
  readonly duplicated: number
  /** Behind a later one of the same input partition, in an output partition. */
  readonly outOfOrder: number
  /** Good prompts among the dead letters, poison among the answers, and dead letters that are not what came. */
  readonly wronglyDead: number
  /** Answers that are not their prompt's, or have not its key. */
  readonly wrong: number
}

/** A prompt as its topic has it. */
export type Asked = {
  readonly record: ReadRecord
  readonly text: string
  readonly poison: Poison | undefined
  readonly passed: boolean
}

const codes: Readonly<Record<Poison, string>> = {
  bytes: 'SCHEMA_MISMATCH',
  schema: 'SCHEMA_MISMATCH',
  refused: 'PROMPT_TOO_LONG',
  breaks: 'STAGE_FAILED',
}

/**
 * Compares what was asked with what a reader of committed records sees. `echo` says whether an answer repeats its prompt. At
 * least once, what was there before is not out of order.
 */
export async function tally(
  asked: readonly Asked[],
  answers: readonly ReadRecord[],
  letters: readonly ReadRecord[],
  decode: (value: Uint8Array) => Promise<Completion>,
  echo: boolean,
  delivery: Delivery = 'exactly-once',
): Promise<Tally> {
  const byId = new Map(asked.map(one => [idOf(one.record.partition, one.record.offset), one]))
  const answered = new Map<string, number>()
  const dead = new Map<string, number>()
  const counts = { outOfOrder: 0, wronglyDead: 0, wrong: 0 }
  const inOrder = watchOrder(() => counts.outOfOrder++)
  const ordered = (seen: ReadonlyMap<string, number>, id: string): boolean =>
    delivery === 'exactly-once' || !seen.has(id)
  const lettersInOrder = watchOrder(() => counts.outOfOrder++)

  for (const { partition, key, value } of answers) {
    const { text, provenance } = await decode(value ?? Buffer.alloc(0))
    const { source } = provenance
    const id = idOf(source.partition, source.offset)
    const prompt = byId.get(id)
    if (ordered(answered, id)) inOrder(partition, source.partition, source.offset)
    answered.set(id, (answered.get(id) ?? 0) + 1)
    if (prompt?.poison !== undefined) counts.wronglyDead++
    if (prompt === undefined || !same(prompt.record.key, key) || (echo && !text.startsWith(`${prompt.text} [`)))
      counts.wrong++
  }
  for (const { partition, key, value, headers } of letters) {
    const facts = new Map(headers.map(([name, content]) => [name.replace('__lorastream.errors.', ''), String(content)]))
    const [source, offset] = [Number(facts.get('partition')), Number(facts.get('offset'))]
    const id = idOf(source, offset)
    const prompt = byId.get(id)
    if (ordered(dead, id)) lettersInOrder(partition, source, offset)
    dead.set(id, (dead.get(id) ?? 0) + 1)
    if (
      prompt?.poison === undefined ||
      facts.get('code') !== codes[prompt.poison] ||
      !same(prompt.record.key, key) ||
      !same(prompt.record.value, value)
    )
      counts.wronglyDead++
  }

  const missing = [...byId].filter(([id]) => !answered.has(id) && !dead.has(id)).map(([, one]) => one)
  const beyond = [...answered.values(), ...dead.values()].reduce((sum, times) => sum + times - 1, 0)
  return {
    prompts: asked.length,
    poison: asked.filter(({ poison }) => poison !== undefined).length,
    lost: missing.filter(({ passed }) => passed).length,
    unanswered: missing.filter(({ passed }) => !passed).length,
    duplicated: beyond + [...answered.keys()].filter(id => dead.has(id)).length,
    ...counts,
  }
}

/** Whether anything is there that must not be. */
export function isClean(
  { lost, unanswered, duplicated, outOfOrder, wronglyDead, wrong }: Tally,
  delivery: Delivery = 'exactly-once',
): boolean {
  const repeated = delivery === 'exactly-once' ? duplicated : 0
  return lost + unanswered + repeated + outOfOrder + wronglyDead + wrong === 0
}

function watchOrder(outOfOrder: () => void): (to: number, from: number, offset: number) => void {
  const last = new Map<string, number>()
  return (to, from, offset) => {
    const way = `${to}/${from}`
    if (offset < (last.get(way) ?? 0)) outOfOrder()
    last.set(way, Math.max(offset, last.get(way) ?? 0))
  }
}

function idOf(partition: number, offset: number | bigint): string {
  return `${partition}-${offset}`
}

function same(one: Uint8Array | null, other: Uint8Array | null): boolean {
  return one === null || other === null ? one === other : Buffer.compare(one, other) === 0
}
