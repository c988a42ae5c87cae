import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { setTimeout } from 'node:timers/promises'
import type { Broker } from '../../infra/kafka.ts'
import { avro } from '../../src/codec/avro.ts'
import type { RawRecord } from '../../src/ports.ts'
import { schemas } from '../../src/schemas.ts'
import type { ReadRecord, Topics } from './topics.ts'

export const faults = ['kill', 'stop', 'join-leave', 'broker-kill', 'broker-stop'] as const
export type Fault = (typeof faults)[number]

/** What a trial counted; all but the first two must be 0. */
export type Tally = {
  readonly prompts: number
  readonly poison: number
  readonly lost: number
  readonly duplicated: number
  readonly outOfOrder: number
  /** Good prompts among the dead letters, and poison that is not there exactly once. */
  readonly wronglyDead: number
}

const PARTITIONS = 6
const ROUNDS = 60
const PER_ROUND = 5
const SETTLE_TIMEOUT_MS = 60_000
const root = fileURLToPath(new URL('../..', import.meta.url))

/** Mulberry32: the seed repeats a trial's choices, if not the machine's timing. */
export function dice(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/**
 * Two instances of one group answer numbered prompts, one in a hundred of them poison, while faults hit them; then counts
 * what a reader of committed records sees. Leaves no process behind.
 */
export async function trial(
  name: string,
  broker: Broker,
  topics: Topics,
  kinds: readonly Fault[],
  random: () => number,
): Promise<Tally> {
  await topics.create([`${name}.prompts`, `${name}.completions`, `${name}.dead`], PARTITIONS)
  const workers: ChildProcess[] = []
  const poison = new Set<string>()
  try {
    workers.push(work(), work())
    const over = new AbortController()
    const disturbing = disturb(over.signal)
    const prompts = await produce()
    over.abort()
    await disturbing
    await settled(prompts)
    for (const worker of workers) worker.kill('SIGTERM')
    await Promise.race([Promise.all(workers.map(ended)), setTimeout(10_000, undefined, { ref: false })])
    const [answers, letters] = [await topics.records(`${name}.completions`), await topics.records(`${name}.dead`)]
    return await count(answers, letters, prompts)
  } finally {
    for (const worker of workers) worker.kill('SIGKILL')
    await Promise.all(workers.map(ended))
  }

  function work(): ChildProcess {
    const env = { ...process.env, TRIAL: name, KAFKA_BROKERS: broker.brokers.join(','), NODE_TEST_CONTEXT: '' }
    const stderr = process.env['TRIAL_LOG'] === undefined ? 'ignore' : 'inherit'
    const args = ['--conditions=source', '--import', 'tsx', 'test/e2e/worker.ts']
    return spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'ignore', stderr] })
  }

  async function produce(): Promise<number> {
    const serde = avro()(`${name}.prompts`, schemas.prompt)
    let number = 0
    for (let round = 0; round < ROUNDS; round++) {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const records: RawRecord[] = []
        for (let index = 0; index < PER_ROUND; index++, number++) {
          const bad = random() < 0.01
          if (bad) poison.add(`${partition}-${round * PER_ROUND + index}`)
          const value = bad ? Buffer.from('\u0001nonsense') : await serde.encode({ text: `prompt ${number}` })
          records.push({ key: null, value, headers: [] })
        }
        await persistently(() => topics.append(`${name}.prompts`, records, partition))
      }
      await setTimeout(200)
    }
    return number
  }

  async function disturb(over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      await setTimeout(500 + random() * 2500)
      const kind = kinds[Math.floor(random() * kinds.length)]
      const victim = Math.floor(random() * workers.length)
      const worker = workers[victim]
      if (worker === undefined || kind === undefined || over.aborted) continue
      if (kind === 'kill') {
        worker.kill('SIGKILL')
        await setTimeout(random() * 2000)
        workers[victim] = work()
      } else if (kind === 'stop') {
        worker.kill('SIGSTOP')
        // Longer than the session timeout of two seconds.
        await setTimeout(3000 + random() * 2000)
        worker.kill('SIGCONT')
      } else if (kind === 'join-leave') {
        workers.push(work())
        await setTimeout(1500 + random() * 2000)
        worker.kill('SIGTERM')
        workers.splice(victim, 1)
        await Promise.race([ended(worker), setTimeout(10_000, undefined, { ref: false })])
        worker.kill('SIGKILL')
      } else if (kind === 'broker-kill') {
        await broker.kill?.()
        await setTimeout(random() * 1000)
        await broker.restart?.()
      } else if (broker.pid !== undefined) {
        process.kill(broker.pid, 'SIGSTOP')
        await setTimeout(1000 + random() * 4000)
        process.kill(broker.pid, 'SIGCONT')
      }
    }
  }

  /** Until the group has passed every prompt. */
  async function settled(prompts: number): Promise<void> {
    for (const end = Date.now() + SETTLE_TIMEOUT_MS; Date.now() < end; await setTimeout(500)) {
      const [offsets] = await persistently(() =>
        topics.admin.fetchOffsets({ groupId: name, topics: [`${name}.prompts`] }),
      )
      const passed = offsets?.partitions.reduce((sum, { offset }) => sum + Math.max(0, Number(offset)), 0)
      if (passed === prompts) return
    }
  }

  async function count(
    answers: readonly ReadRecord[],
    letters: readonly ReadRecord[],
    prompts: number,
  ): Promise<Tally> {
    const serde = avro()(`${name}.completions`, schemas.completion)
    const seen = new Map<string, number>()
    const last = new Map<number, number>()
    let outOfOrder = 0
    for (const { value } of answers) {
      const { partition, offset } = (await serde.decode(value ?? Buffer.alloc(0))).provenance.source
      if (offset <= (last.get(partition) ?? -1)) outOfOrder++
      last.set(partition, Math.max(offset, last.get(partition) ?? -1))
      const id = `${partition}-${offset}`
      seen.set(id, (seen.get(id) ?? 0) + 1)
    }
    const dead = new Map<string, number>()
    for (const { headers } of letters) {
      const facts = new Map(headers.map(([header, value]) => [header, String(value)]))
      const id = `${facts.get('__lorastream.errors.partition')}-${facts.get('__lorastream.errors.offset')}`
      dead.set(id, (dead.get(id) ?? 0) + 1)
    }
    const all = Array.from({ length: prompts / PARTITIONS }, (_, offset) => offset).flatMap(offset =>
      Array.from({ length: PARTITIONS }, (_, partition) => `${partition}-${offset}`),
    )
    const good = all.filter(id => !poison.has(id))
    return {
      prompts,
      poison: poison.size,
      lost: good.filter(id => !seen.has(id) && !dead.has(id)).length,
      duplicated: [...seen.values()].reduce((sum, times) => sum + times - 1, 0),
      outOfOrder,
      wronglyDead: good.filter(id => dead.has(id)).length + [...poison].filter(id => dead.get(id) !== 1).length,
    }
  }
}

async function ended(worker: ChildProcess): Promise<void> {
  if (worker.exitCode === null && worker.signalCode === null) await once(worker, 'exit')
}

/** The broker may be down: that is the trial, not the test. */
async function persistently<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++)
    try {
      return await attempt()
    } catch (error) {
      if (tries === 60) throw error
      await setTimeout(500)
    }
}
