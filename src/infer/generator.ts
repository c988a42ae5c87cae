import { toErrorData, type ErrorData } from '../errors.ts'
import type { EngineFacts, Output } from '../events.ts'
import { linearModules } from '../hf/model.ts'
import { runtimeVersion, type SessionOptions, type TensorData } from '../onnx/session.ts'
import type { Batch, Row } from '../ports.ts'
import { version } from '../version.ts'
import type { BaseModel } from './base-model.ts'
import { planBuckets } from './buckets.ts'
import { NO_TOKEN } from './decode-loop.ts'
import { adaptedFeed, bucketFeeds, decodingFeeds, FILLING, promptFeeds, tableFeeds, type PreparedRow } from './feeds.ts'
import { generationGraph, runsInBuckets, scoringGraph } from './generation.ts'
import { kindSizes, loraLoader } from './lora-loader.ts'
import type { Kind } from './lora-slots.ts'
import type { EngineData } from './onnx-engine.ts'
import { promptTokens } from './prompt-tokens.ts'
import { residentLoras, type Slots } from './resident-loras.ts'
import { ropeTable } from './rope-table.ts'
import { planRuns } from './runs.ts'
import { sessions } from './sessions.ts'
import { choiceFeeds } from './slot-choice.ts'
import { cutAtStop, STOPPED, stopAutomata, tokensToStop, type StopAutomata } from './stopping.ts'

/** What the engine's thread does for its window: rows to answers, or to logits. */
export type Generator = {
  readonly facts: EngineFacts
  run(batch: Batch): Promise<readonly (Output | ErrorData)[]>
  /** Logits of every position of each prompt, float32 `[tokens, vocabulary]`: to measure, and to compare. */
  score(batch: Batch): Promise<readonly (Float32Array<ArrayBuffer> | ErrorData)[]>
  close(): Promise<void>
}

/** `onRun` is told how long each run of the session took, in ms. */
export async function openGenerator(
  base: BaseModel,
  data: EngineData,
  onRun: (ms: number) => void = () => undefined,
): Promise<Generator> {
  const { config, prompts } = base
  const modules = linearModules(config)
  const sizes = kindSizes(modules)
  const resident = residentLoras(config.layers, sizes, data.loraBytes)
  const loader = loraLoader(resident, modules)
  const rope = ropeTable(config)
  const tokenBytes = (token: number): Uint8Array | null => prompts.tokenizer.tokenBytes(token)
  const floats = { bytes: Float32Array.BYTES_PER_ELEMENT }
  const inBuckets = runsInBuckets(data.device)
  const cost = {
    cacheBytesPerToken: 2 * config.layers * config.kvHeads * config.headDim * floats.bytes,
    heads: config.heads,
    inBuckets,
  }

  const sessionOptions: SessionOptions = {
    device: data.device,
    weightFolder: base.weightFolder,
    name: base.id,
    ...(data.threads !== undefined && { threads: data.threads }),
  }
  const generation = sessions(
    kinds => generationGraph(config, base.weights, kinds, data.device),
    version,
    sessionOptions,
  )
  const scoring = sessions(kinds => scoringGraph(config, base.weights, kinds), version, sessionOptions)
  // What cannot be opened fails now, and the first window need not wait.
  await generation.covering(COMMON_KINDS)

  /** Every row made ready for itself, or why it cannot be. */
  async function prepare({ rows, stack, mapping }: Batch): Promise<readonly (PreparedRow | ErrorData)[]> {
    const loaded = await loader.load(stack)
    return rows.map((row, index) => {
      try {
        const mix: { slots: Slots; weight: number }[] = []
        for (const { lora, weight } of mapping[index] ?? []) {
          const slots = loaded[lora]
          if (slots === undefined) throw new RangeError(`row ${index} mixes LoRA ${lora} of ${stack.length}`)
          if ('code' in slots) return slots
          mix.push({ slots, weight })
        }
        return { row, tokens: promptTokens(row, prompts), mix }
      } catch (error) {
        return toErrorData(error)
      }
    })
  }

  function loraBytes({ mix }: PreparedRow): number {
    let bytes = 0
    for (const { slots } of mix) {
      for (const [kind, own] of slots) {
        const size = sizes.get(kind) ?? { in: 0, out: 0 }
        bytes += own.length * config.layers * (size.in + size.out) * floats.bytes
      }
    }
    return bytes
  }

  /** Windows that follow each other mostly stop alike: the last automata are kept. */
  let lastStops: { readonly key: string; readonly automata: StopAutomata } | undefined

  function automataOf(rows: readonly Row[]): StopAutomata {
    const key = JSON.stringify(rows.map(({ stop, ignoreEos }) => [stop, ignoreEos]))
    if (lastStops?.key !== key) {
      const { vocab, eosTokenIds } = config
      lastStops = { key, automata: stopAutomata(rows, vocab, eosTokenIds, tokenBytes) }
    }
    return lastStops.automata
  }

  async function generate(asked: readonly PreparedRow[]): Promise<readonly Output[]> {
    const newTokens = Math.max(...asked.map(({ row }) => row.maxTokens))
    const lengths = asked.map(({ tokens }) => tokens.length)
    const buckets = inBuckets ? planBuckets(lengths, newTokens - 1) : null
    const order = buckets?.order ?? lengths.map((_, place) => place)
    const stops = automataOf(asked.map(({ row }) => row))
    const start = order.map(place => stops.start[place ?? -1] ?? STOPPED)
    const rows = order.map(place => asked[place ?? -1] ?? FILLING)
    const tokens = rows.map(row => row.tokens)
    const mixes = rows.map(({ mix }) => mix)
    // A row that has finished keeps step with the others, so its positions go as far as their tokens.
    const positions = Math.max(...lengths) + newTokens
    const { session, kinds } = await generation.covering(kindsOf(rows))
    const feeds = {
      ...promptFeeds(tokens, positions, rope),
      ...decodingFeeds(rows, { ...stops, start }, config.vocab),
      ...(buckets !== null && bucketFeeds(buckets.widths, kinds.length > 0 ? mixes : null)),
      ...(kinds.length > 0 && {
        ...adaptedFeed(mixes),
        ...tableFeeds(kinds, resident, sizes),
        ...choiceFeeds(mixes, kinds, 'prompt'),
        ...choiceFeeds(mixes, kinds, 'step'),
      }),
    }
    const started = performance.now()
    const { generated } = await session.run(feeds)
    onRun(performance.now() - started)
    const columns = new Map(order.map((place, column) => [place, column]))
    return asked.map((row, place) => outputOf(row, tokensOf(generated, columns.get(place), rows.length)))
  }

  function outputOf({ row, tokens: prompt }: PreparedRow, generated: readonly number[]): Output {
    const tokens = generated.slice(0, tokensToStop(generated, row.stop, tokenBytes))
    const ended = !row.ignoreEos && config.eosTokenIds.includes(tokens.at(-1) ?? NO_TOKEN)
    const text = prompts.tokenizer.decode(tokens)
    const cut = cutAtStop(text, row.stop)
    return {
      text: cut ?? text,
      tokens,
      promptTokens: prompt.length,
      finishReason: ended || cut !== null ? 'STOP' : 'LENGTH',
    }
  }

  return {
    facts: {
      name: 'onnxruntime',
      version: runtimeVersion,
      device: data.device,
      precision: data.precision,
      base: { id: base.id, digest: base.digest },
    },
    async run(batch) {
      const prepared = await prepare(batch)
      const ready = prepared.filter(row => 'tokens' in row)
      const costs = ready.map(row => ({
        promptTokens: row.tokens.length,
        newTokens: row.row.maxTokens,
        loraBytes: loraBytes(row),
      }))
      const outputs = new Map<PreparedRow, Output>()
      for (const run of planRuns(costs, cost, data.runBytes)) {
        const rows = run.flatMap(place => ready[place] ?? [])
        for (const [place, output] of (await generate(rows)).entries()) {
          const row = rows[place]
          if (row !== undefined) outputs.set(row, output)
        }
      }
      return prepared.map(row => {
        if ('code' in row) return row
        const output = outputs.get(row)
        if (output === undefined) throw new Error('a row was in no run')
        return output
      })
    },
    async score(batch) {
      const prepared = await prepare(batch)
      const ready = prepared.filter(row => 'tokens' in row)
      if (ready.length === 0) return prepared.map(row => ('code' in row ? row : new Float32Array(0)))
      const mixes = ready.map(({ mix }) => mix)
      const tokens = ready.map(row => row.tokens)
      const { session, kinds } = await scoring.covering(kindsOf(ready))
      const { logits } = await session.run({
        ...promptFeeds(tokens, Math.max(...tokens.map(({ length }) => length)), rope),
        ...tableFeeds(kinds, resident, sizes),
        ...choiceFeeds(mixes, kinds, 'prompt'),
      })
      if (logits?.type !== 'float32') throw new Error('the scoring graph gives float32 logits')
      const [, width = 0, vocabulary = 0] = logits.dims
      const results = new Map(
        ready.map((row, place) => {
          const start = place * width * vocabulary
          return [row, logits.data.slice(start, start + row.tokens.length * vocabulary)]
        }),
      )
      return prepared.map(row => ('code' in row ? row : (results.get(row) ?? new Float32Array(0))))
    },
    async close() {
      await generation.close()
      await scoring.close()
    },
  }
}

/** What PEFT adapts by default in these families: most pools need no other, and so no second session. */
const COMMON_KINDS: ReadonlySet<Kind> = new Set(['q_proj', 'v_proj'])

function kindsOf(rows: readonly PreparedRow[]): ReadonlySet<Kind> {
  return new Set(rows.flatMap(({ mix }) => mix.flatMap(({ slots }) => [...slots.keys()])))
}

/** A row's column of `generated` `[steps, b]`, as far as the row ran. */
function tokensOf(generated: TensorData | undefined, row: number | undefined, rows: number): readonly number[] {
  if (row === undefined) throw new Error('every row has a column')
  if (generated?.type !== 'int64') throw new Error('the generation graph gives int64 tokens')
  const tokens: number[] = []
  for (let place = row; place < generated.data.length; place += rows) {
    const token = Number(generated.data[place])
    if (token === NO_TOKEN) break
    tokens.push(token)
  }
  return tokens
}
