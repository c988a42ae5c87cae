import type { AdapterId, Digest, Hit, Mix } from './lora.ts'

/** A prompt as it comes from a topic or a JSON line; `schemas/prompt.avsc` says the same. */
export type Prompt = {
  readonly id?: string
  readonly text: string
  readonly system?: string
  /** New tokens at most. */
  readonly maxTokens?: number
  /** 0 is greedy. */
  readonly temperature?: number
  readonly topP?: number
  readonly topK?: number
  /** A row's sample depends on its own seed alone, not on its window. */
  readonly seed?: number
  readonly stop?: readonly string[]
  /** Go on past the end token (benchmarks). */
  readonly ignoreEos?: boolean
  /** Use exactly these instead of retrieving. */
  readonly adapters?: readonly NamedAdapter[]
  /** Ids never to retrieve for this prompt. */
  readonly exclude?: readonly string[]
  readonly strategy?: StrategyName
  readonly k?: number
  readonly metadata?: Readonly<Record<string, string>>
  /** Prompt token ids as they are, instead of `text` (JSON lines only). */
  readonly tokens?: readonly number[]
}

export type NamedAdapter = { readonly id: string; readonly weight?: number }

export type StrategyName = 'base' | 'selection' | 'mixture' | 'fusion' | 'adaptive'

/** Where an event came from. */
export type Origin = {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** Milliseconds since 1970, as the producer or the broker stamped it. */
  readonly timestamp: number
}

/** A record's headers: a name may come more than once. */
export type Headers = readonly (readonly [name: string, value: Uint8Array])[]

/** A decoded event on its way through a topology. */
export type Message<T> = {
  readonly value: T
  readonly origin: Origin
  readonly key: Uint8Array | null
  readonly headers: Headers
  /** `performance.now()` when the transport handed it over, in ms. */
  readonly receivedAt: number
}

/** Why a window closed. */
export type ClosedBy = 'SIZE' | 'TIME' | 'TOKENS' | 'END'

/** Events that are answered together. Stages replace `items`; what failed on the way stays in `failed`. */
export type Window<E> = {
  readonly id: string
  readonly closedBy: ClosedBy
  /** Events when it closed; `items` and `failed` together always number as many. */
  readonly size: number
  readonly items: readonly E[]
  readonly failed: readonly Failed[]
  /** Time that each stage took, in ms. */
  readonly ms: Readonly<Partial<Record<StageName, number>>>
}

export type StageName = 'decode' | 'window' | 'retrieve' | 'compose' | 'infer' | 'publish'

/** An event that will not be answered, and why. */
export type Failed = {
  readonly message: Message<unknown>
  readonly stage: StageName
  readonly code: string
  readonly reason: string
}

/** After `window`: the event's place in its window, and how long it waited, in ms. */
export type Placed<P extends Prompt = Prompt> = Message<P> & {
  readonly row: number
  readonly queuedMs: number
}

/** After `retrieve`. */
export type Retrieved<P extends Prompt = Prompt> = Placed<P> & {
  readonly hits: readonly Hit[]
  readonly pool: PoolFacts
}

/** The state of the pool that a window was served from. */
export type PoolFacts = {
  readonly epoch: number
  readonly size: number
  readonly encoder: { readonly id: string; readonly digest: Digest }
}

/** After `compose`. */
export type Composed<P extends Prompt = Prompt> = Retrieved<P> & {
  readonly mix: Mix
  readonly strategy: Strategy
  /** Every adapter in the mix, with the weight and the score that it got. */
  readonly used: readonly UsedAdapter[]
}

/** The semantics of a mix, as provenance names it. */
export type Strategy = 'BASE' | 'SELECTION' | 'MIXTURE' | 'FUSION'

export type UsedAdapter = {
  readonly id: AdapterId
  readonly digest: Digest
  readonly weight: number
  readonly score: number | null
  readonly rank: number
}

/** After `infer`. */
export type Answered<P extends Prompt = Prompt> = Composed<P> & {
  readonly output: Output
  readonly engine: EngineFacts
  /** Distinct adapters in the window's batch. */
  readonly distinctAdapters: number
}

/** What the engine made of one row. */
export type Output = {
  readonly text: string
  /** New tokens; the end token, when it came, is the last. */
  readonly tokens: readonly number[]
  readonly promptTokens: number
  readonly finishReason: 'STOP' | 'LENGTH'
}

/** Who answered. */
export type EngineFacts = {
  readonly name: string
  readonly version: string
  readonly device: string
  readonly precision: string
  readonly base: { readonly id: string; readonly digest: Digest }
}

/** What is published; `schemas/completion.avsc` says the same. */
export type Completion = {
  readonly id: string
  readonly promptId: string
  readonly text: string
  readonly finishReason: 'STOP' | 'LENGTH'
  readonly usage: { readonly promptTokens: number; readonly completionTokens: number }
  readonly metadata: Readonly<Record<string, string>>
  readonly provenance: Provenance
  /** JSON lines with `--tokens` only. */
  readonly tokens?: readonly number[]
}

/** Which adapters said this, from which pool, on which base, in which window. */
export type Provenance = {
  readonly strategy: Strategy
  readonly adapters: readonly UsedAdapter[]
  readonly pool: { readonly epoch: number; readonly size: number }
  readonly base: { readonly id: string; readonly digest: string }
  readonly encoder: { readonly id: string; readonly digest: string }
  readonly window: {
    readonly id: string
    readonly size: number
    readonly row: number
    readonly distinctAdapters: number
    readonly closedBy: ClosedBy
  }
  readonly source: {
    readonly topic: string
    readonly partition: number
    readonly offset: number
    readonly timestamp: number
  }
  readonly sampling: {
    readonly temperature: number
    readonly topP: number
    readonly topK: number
    readonly seed: number
  }
  readonly engine: {
    readonly name: string
    readonly version: string
    readonly device: string
    readonly precision: string
  }
  readonly ms: {
    readonly queue: number
    readonly retrieve: number
    readonly compose: number
    readonly infer: number
  }
  /** The version of lorastream. */
  readonly lorastream: string
}

/** One window, settled. */
export type Receipt = {
  readonly window: string
  readonly closedBy: ClosedBy
  readonly answered: number
  readonly failed: number
  readonly newTokens: number
  readonly ms: Readonly<Partial<Record<StageName, number>>>
}
