import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { registry } from '../../src/codec/registry.ts'
import { schemas } from '../../src/schemas.ts'
import type { Ground } from './ground.ts'
import { startInstance, type Instance } from './instance.ts'
import type { Plan } from './plan.ts'
import { numberedPrompts, appendSurely, persistently } from './prompts.ts'
import { openTopics } from './topics.ts'
import { isClean, tally, type Delivery, type Tally } from './tally.ts'

export const PARTITIONS = 12
const INSTANCES = 3
const PER_APPEND = 3
const SETTLE_TIMEOUT_MS = 120_000
const REAL_SETTLE_TIMEOUT_MS = 900_000
/** With the model, on a busy machine. */
const GATHER_TIMEOUT_MS = 300_000

export type Result = Tally & {
  /** Instances that ended though nobody asked them to. */
  readonly gaveUp: number
  /** Instances that did not end within their time when they were asked to. */
  readonly stuck: number
  /** From the last fault's end to the last answer. */
  readonly settledMs: number
}

export type TrialOptions = {
  /** A folder for what the instances say. */
  readonly logs?: string
  /** The demo's model in place of the stand-in. */
  readonly real?: boolean
  /** By default exactly once. */
  readonly delivery?: Delivery
  /** What a window takes the stand-in: the longer, the more is in flight when a fault comes. */
  readonly engineMs: number
  /** Between two rounds of prompts; a round has three for each partition. */
  readonly roundMs: number
}

/**
 * Three instances of one group answer numbered prompts on twelve partitions while the plan's faults hit them and what they
 * stand on; then counts what a reader of committed records sees. Leaves no process and no topic behind.
 */
export async function trial(name: string, ground: Ground, plan: Plan, options: TrialOptions): Promise<Result> {
  // A client of its own: kafkajs asks for all topics that it has ever written to, those that were removed among them.
  const topics = await openTopics(ground.direct)
  const [input, output, dead] = [`${name}.prompts`, `${name}.completions`, `${name}.dead`]
  const codec = registry({ url: ground.registry })
  const prompts = await numberedPrompts(input, ground.registry, plan, options.real === true ? 4 : 32)
  await persistently(() => topics.create([input, output, dead], PARTITIONS, ground.brokers))
  if (options.logs !== undefined) mkdirSync(options.logs, { recursive: true })
  const instances: Instance[] = []
  const counts = { gaveUp: 0, stuck: 0, started: 0 }
  try {
    for (let index = 0; index < INSTANCES; index++) instances.push(start())
    await gathered()
    await Promise.all([produce(), hitInstances(), hitGround()])
    const over = Date.now()
    const passed = await settled()
    const settledMs = Date.now() - over
    await Promise.all(instances.splice(0).map(leave))
    const asked = (await topics.records(input)).map(record => ({
      record,
      ...prompts.read(record),
      passed: record.offset < (passed.get(record.partition) ?? 0n),
    }))
    const serde = codec(output, schemas.completion)
    const answers = await topics.records(output)
    const counted = await tally(
      asked,
      answers,
      await topics.records(dead),
      value => serde.decode(value),
      options.real !== true,
      options.delivery,
    )
    if (options.logs !== undefined && !isClean(counted, options.delivery)) {
      const lines = answers.map(async ({ partition, offset, timestamp, value }) => {
        const { provenance } = await serde.decode(value ?? Buffer.alloc(0))
        return `${partition} ${offset} ${timestamp} ${JSON.stringify(provenance.source)} ${provenance.window.id}\n`
      })
      writeFileSync(join(options.logs, `${name}.answers`), (await Promise.all(lines)).join(''))
    }
    return { ...counted, gaveUp: counts.gaveUp, stuck: counts.stuck, settledMs }
  } finally {
    await Promise.all(instances.map(instance => instance.kill()))
    await topics.remove([input, output, dead]).catch(() => {})
    await topics.close()
  }

  function start(): Instance {
    const engine = { TRIAL_ENGINE: options.real === true ? 'real' : 'echo', TRIAL_ENGINE_MS: String(options.engineMs) }
    const env = { ...ground.env, ...engine, TRIAL: name, TRIAL_DELIVERY: options.delivery ?? 'exactly-once' }
    const number = counts.started++
    return startInstance(env, options.logs === undefined ? undefined : join(options.logs, `${name}-${number}.log`))
  }

  async function leave(instance: Instance): Promise<void> {
    if (instance.gaveUp) counts.gaveUp++
    else if (!(await instance.leave())) counts.stuck++
  }

  /** Until all share the partitions, so that faults find instances at work. Those that start later are hit as they come. */
  async function gathered(): Promise<void> {
    for (const end = Date.now() + GATHER_TIMEOUT_MS; Date.now() < end; await setTimeout(200))
      if ((await topics.shares(name)).length === INSTANCES) return
    throw new Error(`${INSTANCES} instances are not in group "${name}" within ${GATHER_TIMEOUT_MS / 1000} s`)
  }

  async function produce(): Promise<void> {
    for (let done = 0; done < plan.prompts.length; await setTimeout(options.roundMs))
      for (let partition = 0; partition < PARTITIONS && done < plan.prompts.length; partition++, done += PER_APPEND)
        await appendSurely(topics, input, await prompts.next(PER_APPEND), partition)
  }

  async function hitInstances(): Promise<void> {
    for (const { afterMs, fault, victim, forMs } of plan.instances) {
      await setTimeout(afterMs)
      const place = victim % instances.length
      const instance = instances[place]
      if (instance === undefined) continue
      if (fault === 'kill') {
        if (instance.gaveUp) counts.gaveUp++
        await instance.kill()
        await setTimeout(forMs)
        instances[place] = start()
      } else if (fault === 'stop') {
        instance.signal('SIGSTOP')
        await setTimeout(forMs)
        instance.signal('SIGCONT')
      } else if (fault === 'join') {
        const joined = start()
        await setTimeout(forMs)
        await leave(instance)
        instances[place] = joined
      } else {
        await leave(instance)
        await setTimeout(forMs)
        instances[place] = start()
      }
    }
  }

  async function hitGround(): Promise<void> {
    for (const step of plan.ground) {
      await setTimeout(step.afterMs)
      await ground.suffer(step, partition => topics.leader(output, partition))
    }
  }

  /** Until the group has passed every prompt, or as long as a trial takes at most; how far it is then. */
  async function settled(): Promise<ReadonlyMap<number, bigint>> {
    const patience = options.real === true ? REAL_SETTLE_TIMEOUT_MS : SETTLE_TIMEOUT_MS
    for (const end = Date.now() + patience; Date.now() < end; await setTimeout(500)) {
      const { passed, all } = await persistently(() => topics.progress(name, input))
      if (passed === all) break
    }
    return await persistently(() => topics.positions(name, input))
  }
}
