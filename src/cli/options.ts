import type { Given } from './arguments.ts'
import { ConfigError } from '../errors.ts'
import type { StrategyName } from '../events.ts'
import type { ScorerName } from '../retrieve/scorers.ts'

/** Options that say which parts to open. */
export const partOptions = [
  'config',
  'model',
  'encoder',
  'adapters',
  'scorer',
  'index',
  'device',
  'precision',
  'template',
  'threads',
  'cache',
] as const

/** Options that say how prompts go through them. */
export const topologyOptions = ['strategy', 'k', 'min-score', 'window-size', 'window-ms', 'window-tokens'] as const

export type PartOption = (typeof partOptions)[number]
export type TopologyOption = (typeof topologyOptions)[number]

export const partHelp = `  --config FILE        a config (.ts or .js) that opens the parts, instead of the options below
  --model PATH         base: a Hugging Face directory or a .gguf file (default: the demo's)
  --encoder DIR        encoder: a sentence-transformers directory (default: the demo's)
  --adapters DIR       a folder of PEFT adapters (default: adapters)
  --scorer NAME        compares prompts and adapters: hybrid, covariance, cosine or inner-product
                       (default: hybrid)
  --index NAME         search for adapters: exact or hnsw (default: exact)
  --device NAME        cpu, cuda or webgpu (default: cpu)
  --precision NAME     int8 or float32 (default: int8 on cpu)
  --template NAME      chat: the model's own template; raw: the text as it is (default: chat)
  --threads N          threads of the engine (default: one for each core)
  --cache DIR          keeps quantised weights and adapter vectors (default: .cache/lorastream)`

export const topologyHelp = `  --strategy NAME      base, selection, mixture, fusion or adaptive (default: adaptive)
  --k N                adapters for each prompt (default: 8 with adaptive, 3 with others)
  --min-score X        leave out adapters that score less; with none left the base answers alone
  --window-size N      prompts answered together at most (default: 16)
  --window-ms N        ms that a window waits for more after its first prompt (default: 50)
  --window-tokens N    tokens of a window at most, prompt and answer, estimated (default: no limit)`

export const strategyNames = [
  'base',
  'selection',
  'mixture',
  'fusion',
  'adaptive',
] as const satisfies readonly StrategyName[]
const devices = ['cpu', 'cuda', 'webgpu'] as const
const precisions = ['int8', 'float32'] as const
const templates = ['chat', 'raw'] as const
export const indexes = ['exact', 'hnsw'] as const
export const scorerNames = ['hybrid', 'covariance', 'cosine', 'inner-product'] as const satisfies readonly ScorerName[]

/** As many threads as the largest machines have. */
const MAX_THREADS = 1024
/** As many adapters as a prompt may name. */
const MAX_K = 64
/** A window's rows are one batch, their KV caches in memory together. */
const MAX_WINDOW_SIZE = 4096
/** Scores of any scorer, in its own units. */
export const MAX_SCORE = 1e6
/** A day; timers take 24. */
const MAX_WINDOW_MS = 86_400_000
/** The longest window of the longest context that is supported. */
const MAX_WINDOW_TOKENS = 1e9

/** Which parts to open, as the command line says; what is absent is left to the defaults. */
export type PartChoice = {
  readonly config?: string
  readonly model?: string
  readonly encoder?: string
  readonly adapters?: string
  readonly scorer: ScorerName
  readonly index: (typeof indexes)[number]
  readonly device: (typeof devices)[number]
  readonly precision?: (typeof precisions)[number]
  readonly template: (typeof templates)[number]
  readonly threads?: number
  readonly cache: string
}

export type TopologyChoice = {
  readonly strategy: StrategyName
  readonly k: number
  readonly minScore?: number
  readonly window: { readonly size: number; readonly ms: number; readonly tokens?: number }
}

/** Throws ConfigError for values out of range, and where `--config` meets an option that only it can decide. */
export function readParts(given: Given<PartOption, never>): PartChoice {
  const config = given.text('config')
  const both = partOptions.find(name => name !== 'config' && given.text(name) !== undefined)
  if (config !== undefined && both !== undefined)
    throw new ConfigError(`--${both} and --config exclude each other: the config opens the parts, and says how`)
  return {
    scorer: given.oneOf('scorer', scorerNames) ?? 'hybrid',
    index: given.oneOf('index', indexes) ?? 'exact',
    device: given.oneOf('device', devices) ?? 'cpu',
    template: given.oneOf('template', templates) ?? 'chat',
    cache: given.text('cache') ?? '.cache/lorastream',
    ...optional('config', config),
    ...optional('model', given.text('model')),
    ...optional('encoder', given.text('encoder')),
    ...optional('adapters', given.text('adapters')),
    ...optional('precision', given.oneOf('precision', precisions)),
    ...optional('threads', given.integer('threads', 1, MAX_THREADS)),
  }
}

/** Throws ConfigError for values out of range. */
export function readTopology(given: Given<TopologyOption, never>): TopologyChoice {
  const strategy = given.oneOf('strategy', strategyNames) ?? 'adaptive'
  return {
    strategy,
    k: readK(given) ?? (strategy === 'adaptive' ? 8 : 3),
    ...optional('minScore', given.number('min-score', -MAX_SCORE, MAX_SCORE)),
    window: {
      size: given.integer('window-size', 1, MAX_WINDOW_SIZE) ?? 16,
      ms: given.integer('window-ms', 0, MAX_WINDOW_MS) ?? 50,
      ...optional('tokens', given.integer('window-tokens', 1, MAX_WINDOW_TOKENS)),
    },
  }
}

/** `--k`, from 1 to 64. Throws ConfigError. */
export function readK(given: Given<'k', never>): number | undefined {
  return given.integer('k', 1, MAX_K)
}

/** An object with the key, or none where there is no value, as `exactOptionalPropertyTypes` wants it. */
function optional<Key extends string, Value>(key: Key, value: Value | undefined): { readonly [K in Key]?: Value } {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a computed key widens to string
  return (value === undefined ? {} : { [key]: value }) as { readonly [K in Key]?: Value }
}
