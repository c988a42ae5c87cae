import { toErrorData, type ErrorData } from '../errors.ts'
import type { EngineFacts, Output } from '../events.ts'
import { linearModules } from '../hf/model.ts'
import { modelBytes } from '../onnx/proto.ts'
import { openSession, runtimeVersion, type Session, type TensorData } from '../onnx/session.ts'
import type { Batch } from '../ports.ts'
import { version } from '../version.ts'
import type { BaseModel } from './base-model.ts'
import { NO_TOKEN } from './decode-loop.ts'
import { adaptedFeed, decodingFeeds, promptFeeds, tableFeeds, type PreparedRow } from './feeds.ts'
import { generationGraph, scoringGraph } from './generation.ts'
import { kindSizes, loraLoader } from './lora-loader.ts'
import { KINDS, type Kind } from './lora-slots.ts'
import type { EngineData } from './onnx-engine.ts'
import { promptTokens } from './prompt-tokens.ts'
import { residentLoras, type Slots } from './resident-loras.ts'
import { ropeTable } from './rope-table.ts'
import { planRuns } from './runs.ts'
import { choiceFeeds } from './slot-choice.ts'
import { cutAtStop, stopAutomata } from './stopping.ts'

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
  const floats = { bytes: Float32Array.BYTES_PER_ELEMENT }
  const cost = {
    cacheBytesPerToken: 2 * config.layers * config.kvHeads * config.headDim * floats.bytes,
    heads: config.heads,
  }

  /** Kinds that any LoRA so far sits on: the graph has LoRA nodes for these, and is built anew when a window brings another. */
  let kinds: readonly Kind[] = []
  let session = await open(kinds)
  let scoring: { readonly session: Session; readonly kinds: readonly Kind[] } | undefined

  async function open(wanted: readonly Kind[], build = generationGraph): Promise<Session> {
    const bytes = modelBytes(build(config, base.weights, wanted), { producerVersion: version })
    const { device, threads } = data
    const { weightFolder, id: name } = base
    return await openSession(bytes, { device, weightFolder, name, ...(threads !== undefined && { threads }) })
  }

  async function cover(rows: readonly PreparedRow[]): Promise<void> {
    const used = new Set(rows.flatMap(({ mix }) => mix.flatMap(({ slots }) => [...slots.keys()])))
    if (kinds.length >= used.size && [...used].every(kind => kinds.includes(kind))) return
    kinds = KINDS.filter(kind => kinds.includes(kind) || used.has(kind))
    // Released first: two sessions at once would hold the weights twice.
    await session.close()
    session = await open(kinds)
  }

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

  async function generate(rows: readonly PreparedRow[]): Promise<readonly Output[]> {
    const stops = stopAutomata(
      rows.map(({ row }) => row),
      config.vocab,
      config.eosTokenIds,
      token => prompts.tokenizer.tokenBytes(token),
    )
    const tokens = rows.map(row => row.tokens)
    const mixes = rows.map(({ mix }) => mix)
    // A row that has finished keeps step with the others, so its positions go as far as their tokens.
    const positions =
      Math.max(...tokens.map(({ length }) => length)) + Math.max(...rows.map(({ row }) => row.maxTokens))
    const feeds = {
      ...promptFeeds(tokens, positions, rope),
      ...decodingFeeds(rows, stops, config.vocab),
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
    return rows.map((row, place) => outputOf(row, newTokens(generated, place, rows.length)))
  }

  function outputOf({ row, tokens: prompt }: PreparedRow, tokens: readonly number[]): Output {
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
      await cover(ready)
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
      await cover(ready)
      if (scoring === undefined || scoring.kinds !== kinds) {
        await scoring?.session.close()
        scoring = { kinds, session: await open(kinds, scoringGraph) }
      }
      const mixes = ready.map(({ mix }) => mix)
      const tokens = ready.map(row => row.tokens)
      const { logits } = await scoring.session.run({
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
      await session.close()
      await scoring?.session.close()
    },
  }
}

/** A row's column of `generated` `[steps, b]`, as far as the row ran. */
function newTokens(generated: TensorData | undefined, row: number, rows: number): readonly number[] {
  if (generated?.type !== 'int64') throw new Error('the generation graph gives int64 tokens')
  const tokens: number[] = []
  for (let place = row; place < generated.data.length; place += rows) {
    const token = Number(generated.data[place])
    if (token === NO_TOKEN) break
    tokens.push(token)
  }
  return tokens
}
