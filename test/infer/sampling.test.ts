import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as fc from 'fast-check'
import { nextToken } from '../../src/infer/sampling.ts'
import { uniforms } from '../../src/infer/uniforms.ts'
import { buildGraph } from '../../src/onnx/graph.ts'
import { modelBytes } from '../../src/onnx/proto.ts'
import { openSession, type Session, type TensorData } from '../../src/onnx/session.ts'

/** How a row samples, and the number that decides. */
type Draw = {
  readonly logits: readonly number[]
  readonly temperature: number
  readonly topP: number
  /** The size of the vocabulary is all. */
  readonly topK: number
  readonly uniform: number
}

let session: Session

before(async () => {
  const graph = buildGraph('sampling', root => {
    const token = nextToken(root, root.input('logits', 'float32', ['b', 'v']), root.input('step', 'int64', []), {
      any: root.input('any', 'bool', []),
      temperature: root.input('temperature', 'float32', ['b']),
      topP: root.input('topP', 'float32', ['b']),
      topK: root.input('topK', 'int64', ['b']),
      uniforms: root.input('uniforms', 'float32', ['b', 'steps']),
    })
    root.output(token, 'int64', 'token', ['b'])
  })
  session = await openSession(modelBytes(graph, { producerVersion: '0' }), { device: 'cpu', name: 'sampling' })
})

after(() => session.close())

/** Each row's token, the uniforms standing in column `step` of three. */
async function sampled(rows: readonly Draw[], step = 1, any = true): Promise<readonly number[]> {
  const float = (data: readonly number[], dims: readonly number[]): TensorData => ({
    type: 'float32',
    data: Float32Array.from(data),
    dims,
  })
  const int = (data: readonly number[], dims: readonly number[]): TensorData => ({
    type: 'int64',
    data: BigInt64Array.from(data, BigInt),
    dims,
  })
  const [first] = rows
  assert.ok(first)
  const { token } = await session.run({
    logits: float(
      rows.flatMap(({ logits }) => logits),
      [rows.length, first.logits.length],
    ),
    step: int([step], []),
    any: { type: 'bool', data: Uint8Array.of(any ? 1 : 0), dims: [] },
    temperature: float(
      rows.map(({ temperature }) => temperature),
      [rows.length],
    ),
    topP: float(
      rows.map(({ topP }) => topP),
      [rows.length],
    ),
    topK: int(
      rows.map(({ topK }) => topK),
      [rows.length],
    ),
    uniforms: float(
      rows.flatMap(({ uniform }) => [0, 1, 2].map(place => (place === step ? uniform : 0.5))),
      [rows.length, 3],
    ),
  })
  assert.equal(token?.type, 'int64')
  return Array.from(token.data, Number)
}

const greedy = (logits: readonly number[]): number => logits.indexOf(Math.max(...logits))

/** The tokens that may come, most likely first, with their chances: temperature, then top-k, then top-p. */
function chances({ logits, temperature, topP, topK }: Omit<Draw, 'uniform'>): { token: number; chance: number }[] {
  const largest = Math.max(...logits)
  const order = logits
    .map((value, token) => ({ token, value }))
    .toSorted((one, other) => other.value - one.value || one.token - other.token)
    .map(({ token, value }) => ({ token, chance: Math.exp((value - largest) / Math.max(temperature, 1e-4)) }))
    .slice(0, topK)
  const total = order.reduce((sum, { chance }) => sum + chance, 0)
  let passed = 0
  const kept = order.filter(({ chance }, place) => {
    const stays = place === 0 || passed < topP * total
    passed += chance
    return stays
  })
  const sum = kept.reduce((all, { chance }) => all + chance, 0)
  return kept.map(({ token, chance }) => ({ token, chance: chance / sum }))
}

/** float32 adds up to about this much off; on the edge between tokens each of them is right. */
const EDGE = 1e-5

/** The tokens at the row's uniform on the line of chances. */
function acceptable(draw: Draw): ReadonlySet<number> {
  if (draw.temperature === 0) return new Set([greedy(draw.logits)])
  const right = new Set<number>()
  for (const topP of [draw.topP - EDGE, draw.topP, draw.topP + EDGE]) {
    let passed = 0
    for (const { token, chance } of chances({ ...draw, topP })) {
      if (passed <= draw.uniform + EDGE && draw.uniform - EDGE < passed + chance) right.add(token)
      passed += chance
    }
  }
  return right
}

/** Logits with ties, far apart, close together. */
const logit = fc.oneof(
  fc.integer({ min: -3, max: 3 }),
  fc.float({ min: -20, max: 20, noNaN: true }),
  fc.float({ min: -1, max: 1, noNaN: true }).map(value => Math.fround(value / 100)),
)

const uniform = fc.oneof(
  fc.nat(2 ** 24 - 1).map(value => value / 2 ** 24),
  fc.constantFrom(0, 1 - 2 ** -24),
)

const draws = fc.integer({ min: 1, max: 50 }).chain(vocabulary =>
  fc.array(
    fc.record({
      logits: fc.array(logit, { minLength: vocabulary, maxLength: vocabulary }),
      temperature: fc.constantFrom(0, 0.001, 0.3, 0.7, 1, 1.5, 100).map(Math.fround),
      topP: fc.oneof(
        fc.constantFrom(1, 0.9, 0.5, 0.1, 1e-10),
        fc.float({ min: Math.fround(0.01), max: 1, noNaN: true }),
      ),
      topK: fc.integer({ min: 1, max: vocabulary }),
      uniform,
    }),
    { minLength: 1, maxLength: 6 },
  ),
)

test('sampling: each row takes the token that an independent computation takes', async () => {
  await fc.assert(
    fc.asyncProperty(draws, fc.nat(2), async (rows, step) => {
      const tokens = await sampled(rows, step)
      for (const [row, draw] of rows.entries()) {
        const right = acceptable(draw)
        assert.ok(right.has(tokens[row] ?? NaN), `row ${row}: ${tokens[row]}, expected ${[...right].join(' or ')}`)
      }
    }),
    { numRuns: 400 },
  )
})

test('sampling: a row takes the same token in any company', async () => {
  await fc.assert(
    fc.asyncProperty(draws, async rows => {
      const together = await sampled(rows)
      for (const [row, draw] of rows.entries()) assert.deepEqual(await sampled([draw]), [together[row]])
      assert.deepEqual(await sampled(rows.toReversed()), together.toReversed())
    }),
    { numRuns: 300 },
  )
})

test('sampling: top-k 1, a top-p below the first chance, and temperature 0 are greedy, ties going to the first', async () => {
  await fc.assert(
    fc.asyncProperty(draws, fc.constantFrom(1e-46, 1e-40, 1e-30, 1e-9, 0.01), async (rows, tiny) => {
      const wanted = rows.map(({ logits }) => greedy(logits))
      assert.deepEqual(await sampled(rows.map(draw => ({ ...draw, topK: 1 }))), wanted)
      // With 50 tokens at most the first has a chance of 2 % or more.
      assert.deepEqual(await sampled(rows.map(draw => ({ ...draw, topP: tiny, topK: draw.logits.length }))), wanted)
      assert.deepEqual(await sampled(rows.map(draw => ({ ...draw, temperature: 0 }))), wanted)
      assert.deepEqual(await sampled(rows.map(draw => ({ ...draw, temperature: 1e-50 }))), wanted)
      assert.deepEqual(await sampled(rows, 1, false), wanted)
    }),
    { numRuns: 60 },
  )
})

test('sampling: the token that crosses the line of top-p stays in, and the next does not', async () => {
  const logits = [0.5, 0.3, 0.2].map(Math.log)
  const last = (topP: number): Draw => ({ logits, temperature: 1, topP, topK: 3, uniform: 1 - 2 ** -24 })
  assert.deepEqual(await sampled([0.49, 0.51, 0.79, 0.81].map(last)), [0, 1, 1, 2])
})

test('sampling: top-p counts what top-k has left', async () => {
  // Of the two best, the first has five eighths.
  const logits = [0.5, 0.3, 0.2].map(Math.log)
  const draw = { logits, temperature: 1, topK: 2, uniform: 1 - 2 ** -24 }
  assert.deepEqual(
    await sampled([
      { ...draw, topP: 0.6 },
      { ...draw, topP: 0.65 },
    ]),
    [0, 1],
  )
})

test('sampling: over many seeds tokens come as often as their chances say, and those without a chance never', async () => {
  const logits = Array.from({ length: 40 }, (_, token) => 3 * Math.sin(7 * token + 1))
  const count = 6000
  for (const way of [
    { temperature: 1, topP: 1, topK: 40 },
    { temperature: 0.7, topP: 0.9, topK: 40 },
    { temperature: 1.5, topP: 1, topK: 8 },
    { temperature: 1.2, topP: 0.8, topK: 15 },
  ]) {
    const rows = Array.from({ length: count }, (_, seed) => ({
      ...way,
      logits,
      uniform: uniforms(seed, 1)[0] ?? NaN,
    }))
    const times = Array<number>(40).fill(0)
    for (const token of await sampled(rows)) times[token] = (times[token] ?? 0) + 1
    const may = chances({ ...way, logits })
    assert.equal(
      may.reduce((sum, { token }) => sum + (times[token] ?? 0), 0),
      count,
    )
    const chiSquare = may.reduce(
      (sum, { token, chance }) => sum + ((times[token] ?? 0) - chance * count) ** 2 / (chance * count),
      0,
    )
    // Its mean is n − 1, its deviation √(2(n − 1)); the seeds are fixed, so this never fails by chance.
    const freedom = may.length - 1
    assert.ok(chiSquare < freedom + 4 * Math.sqrt(2 * freedom), `χ² ${chiSquare} with ${freedom} degrees of freedom`)
  }
})
