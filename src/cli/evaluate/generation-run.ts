import { selection } from '../../compose/strategies.ts'
import { UnknownAdapterError, fromErrorData } from '../../errors.ts'
import type { Composed } from '../../events.ts'
import type { Hit } from '../../lora.ts'
import type { Compose, Engine, Pool, Query } from '../../ports.ts'
import { answerAll, type AnswerOptions, type AnswerStore, type Pace } from './generation-answers.ts'
import type { Item } from './generation-items.ts'
import { scoreOf } from './generation-metrics.ts'
import { reportOf, type Report } from './generation-report.ts'

/** Which adapters a prompt may get: its own alone, all of the pool, or all but its own. */
export const modes = ['perfect', 'iid', 'ood'] as const

export type Mode = (typeof modes)[number]

/** What is evaluated. */
export type Trial = { readonly mode: Mode; readonly compose: Compose; readonly k: number }

export type Evaluation = Report & { readonly pace: Pace }

export type EvaluateOptions = AnswerOptions & {
  /** The file's name, for messages. */
  readonly data: string
  /** New tokens at most. */
  readonly maxTokens: number
}

/**
 * Answers every item under the trial and, to compare with, by its own adapter alone, and scores both.
 * @throws UnknownAdapterError naming the first line whose adapter the pool has not admitted; what pool and engine fail with.
 */
export async function evaluateGeneration(
  items: readonly Item[],
  trial: Trial,
  { pool, engine }: { readonly pool: Pool; readonly engine: Engine },
  store: AnswerStore,
  options: EvaluateOptions,
): Promise<Evaluation> {
  const perfect = await composed(items, { mode: 'perfect', compose: selection, k: 1 }, pool, options.data)
  const tried = trial.mode === 'perfect' ? [] : await composed(items, trial, pool, options.data)
  const limit = (prompt: Composed, index: number) => limited(prompt, items[index % items.length], options.maxTokens)
  const { answers, pace } = await answerAll([...perfect, ...tried].map(limit), engine, store, options)
  const scored = items.map((item, index) => {
    const [own, other] = [answers[index], answers[index + (trial.mode === 'perfect' ? 0 : items.length)]]
    if (own === undefined || other === undefined) throw new Error('every prompt has an answer')
    const score = ({ text }: { readonly text: string }) => scoreOf(item.metric, text, item.target)
    return { item, score: score(other), perfect: score(own) }
  })
  return { ...reportOf(scored), pace }
}

/** Queries at a time: as many texts as are encoded before anybody hears of them. */
const QUERIES = 64

async function composed(
  items: readonly Item[],
  { mode, compose, k }: Trial,
  pool: Pool,
  data: string,
): Promise<readonly Composed[]> {
  const prompts: Composed[] = []
  for (let start = 0; start < items.length; start += QUERIES) {
    const part = items.slice(start, start + QUERIES)
    const found = await pool.retrieve(part.map(item => queryOf(item, mode, k)))
    for (const [index, item] of part.entries()) {
      const hits = found.hits[index]
      if (hits === undefined) throw new Error('the pool answers every query')
      if ('code' in hits) throw refused(item, hits, data)
      prompts.push(promptOf(item, hits, compose, found.pool))
    }
  }
  return prompts
}

function queryOf({ adapter, text }: Item, mode: Mode, k: number): Query {
  if (mode === 'perfect') return { text, k: 1, exclude: [], adapters: [{ id: adapter }] }
  return { text, k, exclude: mode === 'ood' ? [adapter] : [] }
}

function refused({ line }: Item, error: Parameters<typeof fromErrorData>[0], data: string): Error {
  if (error.code !== 'ADAPTER_UNKNOWN') return fromErrorData(error)
  return new UnknownAdapterError(`${data} line ${line}: ${error.message}`)
}

function promptOf(item: Item, hits: readonly Hit[], compose: Compose, pool: Composed['pool']): Composed {
  const origin = { topic: 'evaluate', partition: 0, offset: BigInt(item.line), timestamp: 0 }
  return {
    value: { text: item.text },
    origin,
    key: null,
    headers: [],
    receivedAt: 0,
    row: 0,
    queuedMs: 0,
    hits,
    pool,
    ...compose(hits),
  }
}

/** Tokens beside the target's own: the end token, a full stop, and white space around. */
const SPARE_TOKENS = 4

/**
 * An answer of more tokens than its target has bytes is longer than it, so it needs no more of them to be no exact match:
 * what a strategy out of its depth rambles on costs nothing.
 */
function limited(prompt: Composed, item: Item | undefined, maxTokens: number): Composed {
  const enough =
    item?.metric === 'em' ? Math.min(maxTokens, Buffer.byteLength(item.target.trim()) + SPARE_TOKENS) : maxTokens
  return { ...prompt, value: { ...prompt.value, maxTokens: enough } }
}
