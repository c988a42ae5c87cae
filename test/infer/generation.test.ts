import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { openBaseModel, type BaseModel } from '../../src/infer/base-model.ts'
import { NO_TOKEN } from '../../src/infer/decode-loop.ts'
import { bucketFeeds, decodingFeeds, promptFeeds, type PreparedRow } from '../../src/infer/feeds.ts'
import { generationGraph } from '../../src/infer/generation.ts'
import { ropeTable } from '../../src/infer/rope-table.ts'
import { stopAutomata } from '../../src/infer/stopping.ts'
import { modelBytes } from '../../src/onnx/proto.ts'
import { openSession, type Device, type Session } from '../../src/onnx/session.ts'
import type { Row } from '../../src/ports.ts'
import { greedyRow } from '../../src/row.ts'
import { composeRows } from '../support/golden.ts'
import { tinyLlama } from '../support/tiny-engine.ts'

let cache: string
let base: BaseModel
/** Graphs that run all prompts at once, as for GPUs, and a bucket at a time, as for the CPU; both run on the CPU here. */
let whole: Session
let bucketed: Session

before(async () => {
  cache = await mkdtemp(join(tmpdir(), 'lorastream-generation-'))
  const data = { path: tinyLlama, device: 'cpu', precision: 'float32', template: 'raw', cache } as const
  base = await openBaseModel({ ...data, threads: undefined, loraBytes: 0, runBytes: 0 }, () => undefined)
  const open = (device: Device): Promise<Session> =>
    openSession(modelBytes(generationGraph(base.config, base.weights, [], device), { producerVersion: '0' }), {
      device: 'cpu',
      weightFolder: base.weightFolder,
      name: 'generation',
    })
  whole = await open('cuda')
  bucketed = await open('cpu')
})

after(async () => {
  await whole.close()
  await bucketed.close()
  await rm(cache, { recursive: true })
})

/** The graph's answer, a list of each step's tokens; of the graph with buckets where their widths are given. */
async function steps(
  rows: readonly Row[],
  ends = base.config.eosTokenIds,
  widths?: readonly number[],
): Promise<readonly (readonly number[])[]> {
  const { config, prompts } = base
  const prepared = rows.map((row): PreparedRow => {
    assert.ok('tokens' in row.prompt)
    return { row, tokens: row.prompt.tokens, mix: [] }
  })
  const stops = stopAutomata(rows, config.vocab, ends, token => prompts.tokenizer.tokenBytes(token))
  const { generated } = await (widths === undefined ? whole : bucketed).run({
    ...promptFeeds(
      prepared.map(({ tokens }) => tokens),
      config.contextLength,
      ropeTable(config),
    ),
    ...decodingFeeds(prepared, stops, config.vocab),
    ...(widths !== undefined && bucketFeeds(widths, null)),
  })
  assert.ok(generated?.type === 'int64')
  const tokens = Array.from(generated.data, Number)
  assert.equal(generated.dims[1], rows.length)
  return Array.from({ length: generated.dims[0] ?? 0 }, (_, step) =>
    tokens.slice(step * rows.length, (step + 1) * rows.length),
  )
}

const [first, , , second] = composeRows.filter(({ mode }) => mode === 'base')
assert.ok(first && second)
const [one, other] = [first, second]

/** The text of a token of the small model: each is a byte. */
const textOf = (token: number | undefined): string => base.prompts.tokenizer.decode([token ?? NO_TOKEN])

test('generation: a step for each new token of the row that has most, NO_TOKEN where a row has finished', async () => {
  const found = await steps([greedyRow(one.input_ids, 5), greedyRow(other.input_ids, 12)])
  assert.deepEqual(
    found.map(([token]) => token),
    [...one.greedy.slice(0, 5), ...Array<number>(7).fill(NO_TOKEN)],
  )
  assert.deepEqual(
    found.map(([, token]) => token),
    other.greedy.slice(0, 12),
  )
})

test('generation: one new token takes no step after the prompt pass', async () => {
  assert.deepEqual(await steps([greedyRow(one.input_ids, 1), greedyRow(other.input_ids, 1)]), [
    [one.greedy[0], other.greedy[0]],
  ])
})

test('generation: it ends with the last row that stops, not with the limit', async () => {
  // A plain letter that the first row comes to, and not at once.
  const place = one.greedy.findIndex(
    (token, index) => index > 2 && /^[!-~]$/.test(textOf(token)) && one.greedy.indexOf(token) === index,
  )
  assert.ok(place > 2, 'no such letter')
  const stopping = (limit: number): Row => ({
    ...greedyRow(one.input_ids, limit),
    stop: [textOf(one.greedy[place])],
  })
  const found = await steps([stopping(200), greedyRow(other.input_ids, 3)])
  assert.deepEqual(
    found.map(([token]) => token),
    one.greedy.slice(0, place + 1),
  )
  assert.equal((await steps([stopping(200), greedyRow(other.input_ids, 30)])).length, 30)
  assert.equal((await steps([stopping(place)])).length, place)
})

test('generation: an end token ends a row that does not ignore it', async () => {
  const place = 4
  const ends = one.greedy.slice(place, place + 1)
  const length = one.greedy.indexOf(ends[0] ?? NO_TOKEN) + 1
  const greedy = greedyRow(one.input_ids, 9)
  assert.equal((await steps([{ ...greedy, ignoreEos: false }], ends)).length, length)
  assert.equal((await steps([greedy], ends)).length, 9)
})

test('generation: prompts in buckets, each of its own width, are answered as all at once', async () => {
  assert.deepEqual(
    [whole, bucketed].map(({ inputs }) => inputs.includes('buckets.widths')),
    [false, true],
  )
  const lengths = [3, 9, 16, 17, 30, 60]
  const rows = lengths.map((length, row) => {
    const tokens = Array.from({ length }, (_, place) => (7 * place + 31 * row) % base.config.vocab)
    return { ...greedyRow(tokens, 2 + 3 * row), ...(row % 2 === 1 && { temperature: 0.9, seed: row }) }
  })
  const expected = await steps(rows)
  for (const widths of [[64], [16, 64], [16, 32, 64], [16, 16, 16, 32, 32, 64], [64, 64]])
    assert.deepEqual(await steps(rows, base.config.eosTokenIds, widths), expected, widths.join())
})
