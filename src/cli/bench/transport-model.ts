import type { Prompt } from '../../events.ts'
import type { Batch, Codec, Engine, Pool, RawRecord } from '../../ports.ts'
import { schemas } from '../../schemas.ts'
import { chooseParts } from '../parts.ts'
import { openParts } from '../resources.ts'
import { topologyOf } from '../topology-of.ts'
import { benchCommand, type Bench } from './bench-case.ts'
import { expectAnswers, median, sum, timed } from './measure.ts'
import { benchPrompts } from './prompt-file.ts'
import { figure, type Figure } from './result.ts'
import { runInMemory, type Settled } from './topology-run.ts'
import { lorastreamLoop } from './transport-loops.ts'
import { throughput } from './transport-runs.ts'
import { fill, openCluster } from './transport-topics.ts'

const MAX_WINDOWS = 1000
const MAX_REPEATS = 1000
const MAX_SIZE = 4096
const MAX_TOKENS = 131_072
const PARTITIONS = 6

type Settings = {
  readonly windows: number
  readonly size: number
  readonly newTokens: number
  readonly repeats: number
  readonly prompts?: string
}

export const transportModel = benchCommand({
  name: 'transport-model',
  opens: 'all',
  about: `What the Kafka transport takes of a service's time with the real model: prompts through the mixture
of three on Kafka, exactly once, and on the in-memory transport, in turn. The first window of a run
is left out, for nothing overlaps it. The cluster and the registry, if any, are the environment's
(see "lorastream run --help").`,
  options: {
    windows: ['N', 'windows of a run, the first of which does not count (default: 5)'],
    size: ['N', 'prompts of a window (default: 16)'],
    'new-tokens': ['N', 'new tokens of each row (default: 32)'],
    repeats: ['N', 'runs (default: 3)'],
    prompts: ['FILE', "a file of prompts, JSON lines (default: the demo's)"],
  },
  prepare(given) {
    const prompts = given.text('prompts')
    const settings = {
      windows: given.integer('windows', 2, MAX_WINDOWS) ?? 5,
      size: given.integer('size', 1, MAX_SIZE) ?? 16,
      newTokens: given.integer('new-tokens', 1, MAX_TOKENS) ?? 32,
      repeats: given.integer('repeats', 1, MAX_REPEATS) ?? 3,
      ...(prompts !== undefined && { prompts }),
    }
    return bench => measure(settings, bench)
  },
})

/** A window: from the one before to this one, what the engine took of that, and what it took to commit it. */
type Measured = { readonly ms: number; readonly engineMs: number; readonly publishMs: number }

async function measure(settings: Settings, bench: Bench): Promise<void> {
  const { choice, paths, terminal, signal } = bench
  const { windows, size, newTokens, repeats } = settings
  const prompts = await benchPrompts(settings.prompts, windows * size, newTokens)
  const { open } = await chooseParts({ ...choice, ...paths }, terminal)
  const cluster = await openCluster(PARTITIONS)
  let opened: { readonly pool: Pool; readonly engine: Engine } | undefined
  try {
    signal.throwIfAborted()
    opened = await openParts(open, terminal)
    const { pool, engine } = opened
    const runs: number[] = []
    const watched: Engine = {
      ...engine,
      async run(batch: Batch) {
        const { value, ms } = await timed(() => engine.run(batch))
        expectAnswers(value, newTokens)
        runs.push(ms)
        return value
      },
    }
    const parts = { pool, engine: watched }
    const onKafka = async (): Promise<readonly Measured[]> => {
      const topics = await cluster.topics()
      await fill(cluster, topics.prompts, await windowsOf(cluster.codec, prompts, size))
      const found: Settled[] = []
      runs.length = 0
      await throughput(
        lorastreamLoop(cluster, 'exactly-once', size, parts),
        topics,
        prompts.length,
        signal,
        (_, receipt) => {
          if (receipt !== undefined) found.push({ at: performance.now(), receipt })
        },
      )
      return measuredOf(found, runs)
    }
    const inMemory = async (): Promise<readonly Measured[]> => {
      const topology = topologyOf({ strategy: 'mixture', k: 3, window: { size, ms: 1000 } })
      runs.length = 0
      return measuredOf(await runInMemory(topology, prompts, parts, { signal }), runs)
    }

    terminal.progress('warming up …')
    await inMemory()
    const [kafka, memory]: [Measured[], Measured[]] = [[], []]
    for (let repeat = 1; repeat <= repeats; repeat += 1) {
      terminal.progress(`run ${repeat} of ${repeats}`)
      kafka.push(...(await onKafka()))
      memory.push(...(await inMemory()))
    }
    await bench.report({
      case: 'transport-model',
      engine: engine.facts,
      parameters: { ...settings, strategy: 'mixture', k: 3, partitions: PARTITIONS, codec: cluster.codecName },
      figures: figuresOf(kafka, memory),
    })
  } finally {
    await Promise.all([opened?.pool.close(), opened?.engine.close()]).finally(() => cluster.close())
  }
}

/** Prompts as records, a window one after the other in a partition. */
async function windowsOf(codec: Codec, prompts: readonly Prompt[], size: number): Promise<readonly RawRecord[][]> {
  const serde = codec('prompts', schemas.prompt)
  const records = await Promise.all(
    prompts.map(async prompt => ({ key: null, value: await serde.encode(prompt), headers: [] })),
  )
  return Array.from({ length: Math.ceil(records.length / size) }, (_, window) =>
    records.slice(window * size, (window + 1) * size),
  )
}

function measuredOf(settled: readonly Settled[], runs: readonly number[]): readonly Measured[] {
  // The engine begins the second window while the first is committed.
  const [first] = settled
  const began = (first?.at ?? Number.NaN) - (first?.receipt.ms.publish ?? 0)
  return settled.slice(1).map(({ at, receipt }, index) => ({
    ms: at - (index === 0 ? began : (settled[index]?.at ?? Number.NaN)),
    engineMs: runs[index + 1] ?? Number.NaN,
    publishMs: receipt.ms.publish ?? Number.NaN,
  }))
}

function figuresOf(kafka: readonly Measured[], memory: readonly Measured[]): readonly Figure[] {
  const total = (measured: readonly Measured[], of: keyof Measured): number => sum(measured.map(one => one[of]))
  const [ms, memoryMs] = [median(kafka.map(one => one.ms)), median(memory.map(one => one.ms))]
  const outside = (measured: readonly Measured[]): number =>
    100 * (1 - total(measured, 'engineMs') / total(measured, 'ms'))
  const publishes = kafka.map(one => one.publishMs)
  return [
    figure('ms', ms, 'ms', `on Kafka, from one window to the next; median of ${kafka.length}`),
    figure('memoryMs', memoryMs, 'ms', 'the same in memory'),
    figure('ratioToMemory', total(kafka, 'ms') / total(memory, 'ms'), 'times', 'of all windows'),
    figure('outsideEnginePercent', outside(kafka), '%', 'of all windows on Kafka, when the engine did nothing'),
    figure('memoryOutsideEnginePercent', outside(memory), '%', 'the same in memory'),
    figure('publishMs', median(publishes), 'ms', 'to encode and commit a window, while the next is inferred'),
    figure(
      'publishPercent',
      (100 * sum(publishes)) / total(kafka, 'ms'),
      '%',
      'of all windows, as if nothing overlapped',
    ),
  ]
}
