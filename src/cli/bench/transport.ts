import { schemas } from '../../schemas.ts'
import { benchCommand, type Bench } from './bench-case.ts'
import { median, percentile } from './measure.ts'
import { figure, type Figure } from './result.ts'
import { standInEngine, standInPool } from './stand-in.ts'
import { bareLoop, engineAlone, lorastreamLoop, type Loop } from './transport-loops.ts'
import { answerRecord, latency, throughput, WARM_UP } from './transport-runs.ts'
import { fill, openCluster, promptRecords } from './transport-topics.ts'

const MAX_WINDOWS = 100_000
const MAX_SIZE = 4096
const MAX_ROUNDS = 1000
const MAX_PARTITIONS = 1000

type Settings = {
  readonly windows: number
  readonly size: number
  readonly partitions: number
  readonly rounds: number
  readonly paced: number
  readonly perSecond: number
}

export const transport = benchCommand({
  name: 'transport',
  opens: 'nothing',
  about: `What the Kafka transport costs: prompts to an engine that answers at once, and its answers back,
against bare kafkajs loops that read, write and commit as many records at a time: one hands the same
bytes back for every prompt, one decodes each prompt and encodes each answer with the same codec,
one writes in transactions. Every round runs all of them, in another order. The cluster and the
registry, if any, are the environment's (see "lorastream run --help"); topics and groups are this
command's own, and the topics are deleted afterwards.`,
  options: {
    windows: ['N', 'windows of a run for throughput (default: 600)'],
    size: ['N', 'prompts of a window (default: 64)'],
    partitions: ['N', 'of both topics (default: 6)'],
    rounds: ['N', 'rounds, after one that does not count (default: 7)'],
    paced: ['N', 'windows of a run for latency (default: 200)'],
    'per-second': ['N', 'how many of these are produced a second (default: 20)'],
  },
  prepare(given) {
    const settings = {
      windows: given.integer('windows', 10, MAX_WINDOWS) ?? 600,
      size: given.integer('size', 1, MAX_SIZE) ?? 64,
      partitions: given.integer('partitions', 1, MAX_PARTITIONS) ?? 6,
      rounds: given.integer('rounds', 1, MAX_ROUNDS) ?? 7,
      paced: given.integer('paced', 10, MAX_WINDOWS) ?? 200,
      perSecond: given.integer('per-second', 1, 10_000) ?? 20,
    }
    return bench => measure(settings, bench)
  },
})

/** What one kind of loop did in one round. */
type Measured = { readonly perSecond: number; readonly cpuMs: number; readonly ms: readonly number[] }
const kinds = ['bare', 'bareCodec', 'atLeastOnce', 'bareTransactional', 'exactlyOnce', 'fiveStages'] as const
type Kind = (typeof kinds)[number]
type Round = ReadonlyMap<Kind, Measured>

async function measure(settings: Settings, bench: Bench): Promise<void> {
  const { terminal, signal } = bench
  const { windows, size, partitions, rounds, perSecond } = settings
  const cluster = await openCluster(partitions)
  try {
    const parts = { pool: standInPool(), engine: standInEngine() }
    const answer = await answerRecord(cluster)
    const bytes = Buffer.from(answer.value ?? [])
    const [decoder, encoder] = [
      cluster.codec('prompts', schemas.prompt),
      cluster.codec('completions', schemas.completion),
    ]
    const completion = await encoder.decode(bytes)
    const decoding = async (prompt: Buffer | null): Promise<Buffer> => {
      const { text } = await decoder.decode(prompt ?? bytes)
      return Buffer.from(await encoder.encode({ ...completion, promptId: text.slice(0, 16) }))
    }
    const alone = engineAlone(completion)
    const loops: Readonly<Record<Kind, Loop>> = {
      bare: bareLoop(cluster, 'at-least-once', size, () => bytes),
      bareCodec: bareLoop(cluster, 'at-least-once', size, decoding),
      atLeastOnce: lorastreamLoop(cluster, 'at-least-once', size, parts, alone),
      bareTransactional: bareLoop(cluster, 'exactly-once', size, decoding),
      exactlyOnce: lorastreamLoop(cluster, 'exactly-once', size, parts, alone),
      fiveStages: lorastreamLoop(cluster, 'exactly-once', size, parts),
    }
    const input = await cluster.topics()
    await fill(cluster, input.prompts, await promptRecords(cluster.codec, windows, size))
    const some = await promptRecords(cluster.codec, WARM_UP + settings.paced, size)

    const measured: Round[] = []
    for (let round = 0; round <= rounds; round += 1) {
      const found = new Map<Kind, Measured>()
      for (let turn = 0; turn < kinds.length; turn += 1) {
        // Each kind comes first as often as the others, and in pairs in either order.
        const kind = kinds[(round % 2 === 0 ? turn + round : kinds.length - 1 - turn + round) % kinds.length] ?? 'bare'
        terminal.progress(`round ${round} of ${rounds}: ${kind}`)
        const { perSecond: rate, cpuMs } = await throughput(loops[kind], input, windows * size, signal)
        found.set(kind, {
          perSecond: rate / size,
          cpuMs: cpuMs * size,
          ms: await latency(cluster, loops[kind], some, perSecond, signal),
        })
      }
      if (round > 0) measured.push(found)
    }
    await bench.report({
      case: 'transport',
      engine: parts.engine.facts,
      parameters: { ...settings, codec: cluster.codecName, answerBytes: answer.value?.length ?? 0 },
      figures: figuresOf(measured),
    })
  } finally {
    await cluster.close()
  }
}

/** What each kind is, for people. */
const says: Readonly<Record<Kind, string>> = {
  bare: 'a bare loop that decodes nothing',
  bareCodec: 'a bare loop with the same codec',
  atLeastOnce: 'ours, at least once',
  bareTransactional: 'a bare loop with the codec and transactions',
  exactlyOnce: 'ours, exactly once',
  fiveStages: 'exactly once, with retrieval, mixing and provenance',
}

function figuresOf(rounds: readonly Round[]): readonly Figure[] {
  const nothing: Measured = { perSecond: Number.NaN, cpuMs: Number.NaN, ms: [] }
  const of = (kind: Kind, round: Round): Measured => round.get(kind) ?? nothing
  const ratio = (name: string, one: Kind, other: Kind): readonly Figure[] => {
    const ratios = rounds.map(round => of(one, round).perSecond / of(other, round).perSecond)
    const [low, high] = [Math.min(...ratios).toFixed(2), Math.max(...ratios).toFixed(2)]
    return [figure(name, median(ratios), 'times', `median of ${rounds.length} rounds, ${low} to ${high}`)]
  }
  const rates = kinds.flatMap(kind => [
    figure(`${kind}PerSecond`, median(rounds.map(round => of(kind, round).perSecond)), 'windows/s', says[kind]),
    figure(`${kind}CpuMs`, median(rounds.map(round => of(kind, round).cpuMs)), 'ms', 'of processor time a window'),
  ])
  const latencies = kinds.flatMap(kind => {
    const all = rounds.flatMap(round => of(kind, round).ms)
    return [
      figure(`${kind}P50Ms`, median(all), 'ms', `from produce to completion, ${says[kind]}`),
      figure(`${kind}P99Ms`, percentile(all, 0.99), 'ms', 'the slowest hundredth'),
    ]
  })
  const adds = rounds.map(round => median(of('exactlyOnce', round).ms) - median(of('atLeastOnce', round).ms))
  return [
    ...rates,
    ...ratio('ratioToBare', 'atLeastOnce', 'bare'),
    ...ratio('ratioToBareCodec', 'atLeastOnce', 'bareCodec'),
    ...ratio('ratioToBareTransactional', 'exactlyOnce', 'bareTransactional'),
    ...latencies,
    figure('exactlyOnceAddsMs', median(adds), 'ms', 'of the p50, above at least once; median of the rounds'),
  ]
}
