/** What hits the instances. */
export const instanceFaults = ['kill', 'stop', 'join', 'leave'] as const
/** What hits what they stand on. Those of leaders need three brokers, those of brokers have one; links need Toxiproxy. */
export const groundFaults = [
  'broker-kill',
  'broker-stop',
  'leader-kill',
  'leader-stop',
  'link-slow',
  'link-cut',
  'link-reset',
  'registry-down',
  'registry-stop',
] as const
export const faults = [...instanceFaults, ...groundFaults] as const

type InstanceFault = (typeof instanceFaults)[number]
type GroundFault = (typeof groundFaults)[number]
export type Fault = InstanceFault | GroundFault

/** One fault: after how long, to whom (of those that are there then, counted round), and for how long. */
export type Step<F extends Fault> = {
  readonly afterMs: number
  readonly fault: F
  readonly victim: number
  readonly forMs: number
}

/** Why a prompt cannot be answered: bytes, an unknown schema, a row refused, a row that breaks the whole batch. */
export type Poison = 'bytes' | 'schema' | 'refused' | 'breaks'

/** All that a seed decides. What the machine does with it takes its own time. */
export type Plan = {
  readonly seed: number
  readonly brokers: 1 | 3
  /** Two lists that run side by side, so that faults meet. */
  readonly instances: readonly Step<InstanceFault>[]
  readonly ground: readonly Step<GroundFault>[]
  /** Of each prompt by its number. */
  readonly prompts: readonly { readonly keyed: boolean; readonly poison: Poison | undefined }[]
}

export type PlanOptions = {
  readonly seed: number
  /** What is drawn from; what a machine cannot make is left out by its caller. */
  readonly kinds: readonly Fault[]
  /** By default drawn. */
  readonly brokers?: 1 | 3
  readonly prompts: number
  /** By default all. */
  readonly poison?: readonly Poison[]
  /** As long as the faults go on, by their own times. */
  readonly ms: number
}

/** Longer than the session timeout of two seconds, and than the group's patience behind it. */
const STOP_MS: readonly [number, number] = [3000, 6000]
const spans: Readonly<Record<Fault, readonly [number, number]>> = {
  kill: [0, 2000],
  stop: STOP_MS,
  join: [1500, 5000],
  leave: [0, 3000],
  'broker-kill': [0, 2000],
  'broker-stop': [1000, 5000],
  'leader-kill': [0, 4000],
  'leader-stop': STOP_MS,
  'link-slow': [2000, 6000],
  'link-cut': [500, 6000],
  'link-reset': [500, 3000],
  'registry-down': [3000, 8000],
  'registry-stop': [3000, 8000],
}
const POISON = 0.02
const KEYED = 0.5

const poisons: readonly Poison[] = ['bytes', 'schema', 'refused', 'breaks']

/** Draws a plan; the same options, the same plan. */
export function plan({ seed, kinds, brokers: wanted, prompts, ms, poison: drawn = poisons }: PlanOptions): Plan {
  const random = dice(seed)
  const brokers = wanted ?? (random() < 0.5 ? 1 : 3)
  const fits = (fault: Fault): boolean =>
    kinds.includes(fault) && !(brokers === 1 ? fault.startsWith('leader-') : fault.startsWith('broker-'))
  return {
    seed,
    brokers,
    instances: steps(instanceFaults.filter(fits)),
    ground: steps(groundFaults.filter(fits)),
    prompts: Array.from({ length: prompts }, () => ({
      keyed: random() < KEYED,
      poison: random() < POISON ? pick(drawn) : undefined,
    })),
  }

  function steps<F extends Fault>(from: readonly F[]): readonly Step<F>[] {
    const found: Step<F>[] = []
    for (let at = 0; from.length > 0;) {
      const afterMs = between(300, 2500)
      const fault = pick(from)
      const step = { afterMs, fault, victim: between(0, 1000), forMs: between(spans[fault][0], spans[fault][1]) }
      at += step.afterMs + step.forMs
      if (at > ms) break
      found.push(step)
    }
    return found
  }

  function between(low: number, high: number): number {
    return low + Math.floor(random() * (high - low + 1))
  }

  function pick<T>(from: readonly T[]): T {
    const found = from[Math.floor(random() * from.length)]
    if (found === undefined) throw new Error('nothing to choose from')
    return found
  }
}

/** Mulberry32. */
function dice(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
