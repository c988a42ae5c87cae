import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { ConfigError } from '../../errors.ts'
import { benchCommand, type Bench } from './bench-case.ts'
import { median, memoryFigures, rssMb } from './measure.ts'
import { figure, type Figure } from './result.ts'
import { standInEngine, standInPool } from './stand-in.ts'
import { lorastreamLoop, type Delivery } from './transport-loops.ts'
import { throughput } from './transport-runs.ts'
import { fill, openCluster, promptRecords, type Cluster } from './transport-topics.ts'

const MAX_EVENTS = 1_000_000_000
const MAX_SIZE = 4096
const MAX_PARTITIONS = 1000

/** Windows that are made and put on the topic at a time. */
const FILL_WINDOWS = 256
/** Samples are taken after a collection of everything, as many in every tenth of the run. */
const SAMPLES = 100

const deliveries = ['exactly-once', 'at-least-once'] as const

type Settings = {
  readonly events: number
  readonly size: number
  readonly partitions: number
  readonly delivery: Delivery
}

/** What the process holds, in MB. */
type Sample = { readonly rss: number; readonly heap: number; readonly buffers: number }

export const transportMemory = benchCommand({
  name: 'transport-memory',
  opens: 'nothing',
  about: `Whether the memory of an instance stays flat: many prompts through the five stages on Kafka with an
engine that answers at once. A hundred times in a run everything is collected and memory is read.
The first tenth fills caches and is left out; the second is compared with the last. The cluster and
the registry, if any, are the environment's (see "lorastream run --help").`,
  options: {
    events: ['N', 'prompts (default: 200000)'],
    size: ['N', 'prompts of a window (default: 64)'],
    partitions: ['N', 'of both topics (default: 6)'],
    delivery: ['NAME', 'exactly-once or at-least-once (default: exactly-once)'],
  },
  prepare(given) {
    const settings = {
      events: given.integer('events', 1000, MAX_EVENTS) ?? 200_000,
      size: given.integer('size', 1, MAX_SIZE) ?? 64,
      partitions: given.integer('partitions', 1, MAX_PARTITIONS) ?? 6,
      delivery: given.oneOf('delivery', deliveries) ?? 'exactly-once',
    }
    const { events, size } = settings
    const windows = Math.ceil(events / size)
    // Memory is read at the end of a window.
    if (windows < SAMPLES)
      throw new ConfigError(
        `--events ${events} in windows of ${size} are ${windows} windows, expected at least ${SAMPLES}`,
      )
    return bench => measure(settings, bench)
  },
})

async function measure(settings: Settings, bench: Bench): Promise<void> {
  const { terminal, signal } = bench
  const { events, size, partitions, delivery } = settings
  const cluster = await openCluster(partitions)
  try {
    const windows = Math.ceil(events / size)
    const topics = await cluster.topics()
    await fillAll(cluster, topics.prompts, windows, size, bench)
    const parts = { pool: standInPool(), engine: standInEngine() }
    const loop = lorastreamLoop(cluster, delivery, size, parts)
    const collect = collector()
    const samples: Sample[] = []
    const { perSecond } = await throughput(loop, topics, windows * size, signal, done => {
      if (done < ((samples.length + 1) * windows * size) / SAMPLES) return
      collect()
      const { heapUsed, external } = process.memoryUsage()
      samples.push({ rss: rssMb(), heap: heapUsed / 1e6, buffers: external / 1e6 })
      terminal.progress(`${done} of ${windows * size} events`)
    })
    await bench.report({
      case: 'transport-memory',
      engine: parts.engine.facts,
      parameters: { ...settings, events: windows * size, codec: cluster.codecName },
      figures: [
        ...figuresOf(samples),
        figure('windowsPerSecond', perSecond / size, 'windows/s', 'collections included'),
        ...memoryFigures(),
      ],
    })
  } finally {
    await cluster.close()
  }
}

async function fillAll(cluster: Cluster, topic: string, windows: number, size: number, bench: Bench): Promise<void> {
  const some = await promptRecords(cluster.codec, Math.min(windows, FILL_WINDOWS), size)
  for (let done = 0; done < windows; done += some.length) {
    bench.signal.throwIfAborted()
    bench.terminal.progress(`writing prompts: ${done * size}`)
    await fill(cluster, topic, some.slice(0, windows - done))
  }
}

/** Collects everything that can be. Node gives it to those who ask V8. */
function collector(): () => void {
  setFlagsFromString('--expose-gc')
  const found: unknown = runInNewContext('gc')
  if (typeof found !== 'function') throw new Error('V8 gives no collector')
  return () => void Reflect.apply(found, undefined, [])
}

function figuresOf(samples: readonly Sample[]): readonly Figure[] {
  const tenth = (index: number, of: keyof Sample): number =>
    median(samples.slice(index * (SAMPLES / 10), (index + 1) * (SAMPLES / 10)).map(sample => sample[of]))
  const tenths = Array.from({ length: 10 }, (_, index) => tenth(index, 'rss'))
  const [steady = Number.NaN, last = Number.NaN] = [tenths[1], tenths[9]]
  return [
    ...tenths.map((value, index) => figure(`tenth${index + 1}Mb`, value, 'MB', 'resident, median of ten')),
    figure('growthPercent', 100 * (last / steady - 1), '%', 'from the second tenth to the last'),
    figure('heapMb', tenth(1, 'heap'), 'MB', 'of the heap in use, second tenth'),
    figure('heapLastMb', tenth(9, 'heap'), 'MB', 'the same, last tenth'),
    figure('buffersMb', tenth(1, 'buffers'), 'MB', 'outside of the heap, second tenth'),
    figure('buffersLastMb', tenth(9, 'buffers'), 'MB', 'the same, last tenth'),
  ]
}
