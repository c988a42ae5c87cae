import { benchCommand, type Bench } from './bench-case.ts'
import { median } from './measure.ts'
import { figure, type Figure } from './result.ts'
import { standInEngine, standInPool } from './stand-in.ts'
import { bareLoop, lorastreamLoop } from './transport-loops.ts'
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
  about: `What the Kafka transport costs: prompts through the five stages with an engine that answers at once,
against a bare kafkajs loop that reads, writes and commits as many records at a time and decodes
nothing. At least once and exactly once; every round runs all four, in another order. The cluster
and the registry, if any, are the environment's (see "lorastream run --help"); topics and groups
are this command's own, and the topics are deleted afterwards.`,
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
type Measured = { readonly perSecond: number; readonly ms: readonly number[] }
type Kind = 'bare' | 'atLeastOnce' | 'bareTransactional' | 'exactlyOnce'
type Round = Readonly<Record<Kind, Measured>>

async function measure(settings: Settings, bench: Bench): Promise<void> {
  const { terminal, signal } = bench
  const { windows, size, partitions, rounds, perSecond } = settings
  const cluster = await openCluster(partitions)
  try {
    const parts = { pool: standInPool(), engine: standInEngine() }
    const answer = await answerRecord(cluster)
    const loops = {
      bare: bareLoop(cluster, 'at-least-once', size, answer),
      atLeastOnce: lorastreamLoop(cluster, 'at-least-once', size, parts),
      bareTransactional: bareLoop(cluster, 'exactly-once', size, answer),
      exactlyOnce: lorastreamLoop(cluster, 'exactly-once', size, parts),
    }
    const kinds: readonly Kind[] = ['bare', 'atLeastOnce', 'bareTransactional', 'exactlyOnce']
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
        const rate = await throughput(loops[kind], input, windows * size, signal)
        found.set(kind, {
          perSecond: rate / size,
          ms: await latency(cluster, loops[kind], some, perSecond, signal),
        })
      }
      const of = (kind: Kind): Measured => found.get(kind) ?? { perSecond: Number.NaN, ms: [] }
      if (round === 0) continue
      measured.push({
        bare: of('bare'),
        atLeastOnce: of('atLeastOnce'),
        bareTransactional: of('bareTransactional'),
        exactlyOnce: of('exactlyOnce'),
      })
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

function figuresOf(rounds: readonly Round[]): readonly Figure[] {
  const rate = (kind: Kind): number => median(rounds.map(round => round[kind].perSecond))
  const ratios = (one: Kind, other: Kind): readonly number[] =>
    rounds.map(round => round[one].perSecond / round[other].perSecond)
  const ms = (kind: Kind, share: number): number => {
    const all = rounds.flatMap(round => round[kind].ms).toSorted((one, other) => one - other)
    return all[Math.min(all.length - 1, Math.floor(share * all.length))] ?? Number.NaN
  }
  const [atLeast, exactly] = [ratios('atLeastOnce', 'bare'), ratios('exactlyOnce', 'bareTransactional')]
  const adds = rounds.map(round => median(round.exactlyOnce.ms) - median(round.atLeastOnce.ms))
  const latencies = (
    [
      ['bare', 'a bare loop'],
      ['atLeastOnce', 'at least once'],
      ['bareTransactional', 'a bare loop with transactions'],
      ['exactlyOnce', 'exactly once'],
    ] as const
  ).flatMap(([kind, says]) => [
    figure(`${kind}P50Ms`, ms(kind, 0.5), 'ms', `from produce to completion, ${says}`),
    figure(`${kind}P99Ms`, ms(kind, 0.99), 'ms', 'the slowest hundredth'),
  ])
  return [
    figure('barePerSecond', rate('bare'), 'windows/s', `a bare kafkajs loop; median of ${rounds.length}`),
    figure('atLeastOncePerSecond', rate('atLeastOnce'), 'windows/s', 'ours, at least once'),
    figure('ratioToBare', median(atLeast), 'times', 'of a round, median'),
    figure('ratioLow', Math.min(...atLeast), 'times', 'lowest of the rounds'),
    figure('ratioHigh', Math.max(...atLeast), 'times', 'highest of the rounds'),
    figure('bareTransactionalPerSecond', rate('bareTransactional'), 'windows/s', 'a bare loop with transactions'),
    figure('exactlyOncePerSecond', rate('exactlyOnce'), 'windows/s', 'ours, exactly once'),
    figure('exactlyOnceRatio', median(exactly), 'times', 'to the bare loop with transactions'),
    ...latencies,
    figure('exactlyOnceAddsMs', median(adds), 'ms', 'of the p50, above at least once; median of the rounds'),
  ]
}
