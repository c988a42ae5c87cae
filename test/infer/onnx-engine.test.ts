import assert from 'node:assert/strict'
import type { Lora } from '../../src/lora.ts'
import type { Row } from '../../src/ports.ts'
import { engineContract, type EngineUnderTest } from '../contracts/engine.ts'
import { adapter, echoEngine } from '../support/fakes.ts'
import { greedyRow } from '../../src/row.ts'
import { alone, goldenAdapter, tinyEngine, tinyTokens } from '../support/tiny-engine.ts'

const prompts = [tinyTokens(8, 31), tinyTokens(3, 5), tinyTokens(57, 13), tinyTokens(1, 1), tinyTokens(20, 101)]

/** Greedy and sampled, of other lengths and limits. */
const rows: readonly Row[] = prompts.map((prompt, index) => ({
  ...greedyRow(prompt, 6 + 5 * index),
  temperature: index % 2 === 0 ? 0 : 0.9,
  topP: index === 3 ? 0.8 : 1,
  topK: index === 1 ? 40 : 0,
  seed: 1000 + index,
}))

/** Ranks 8 and 16 on all modules, q and v alone, and a fusion. */
async function loras(): Promise<readonly Lora[]> {
  const [a, b, c] = await Promise.all(['d_r8_alpha32', 'c_r16_rslora', 'b_r8_qv'].map(goldenAdapter))
  assert.ok(a && b && c)
  const fusion = [
    { adapter: b, weight: 0.6 },
    { adapter: c, weight: 0.7 },
  ]
  return [alone(a), fusion, alone(b), alone(c)]
}

const bad: EngineUnderTest['bad'] = [
  { row: greedyRow([5, 264], 4), code: 'SCHEMA_MISMATCH' },
  { row: greedyRow([-1], 4), code: 'SCHEMA_MISMATCH' },
  { row: greedyRow([5.5], 4), code: 'SCHEMA_MISMATCH' },
  { row: greedyRow([NaN], 4), code: 'SCHEMA_MISMATCH' },
  { row: greedyRow([], 4), code: 'SCHEMA_MISMATCH' },
  { row: greedyRow(tinyTokens(253, 3), 4), code: 'PROMPT_TOO_LONG' },
  { row: greedyRow([5], 257), code: 'PROMPT_TOO_LONG' },
  { row: { ...greedyRow([], 4), prompt: { text: 'x'.repeat(1_000_000) } }, code: 'PROMPT_TOO_LONG' },
  { row: { ...greedyRow([], 4), prompt: { text: 'hi', system: 'be brief' } }, code: 'SCHEMA_MISMATCH' },
]

for (const precision of ['float32', 'int8'] as const) {
  engineContract(`onnxEngine at ${precision}`, async t => ({
    engine: await tinyEngine(t, { precision }),
    rows,
    loras: await loras(),
    bad,
  }))
}

// A row is more than a run may take, and no LoRA may stay: every row is a run of its own, every LoRA is read anew.
engineContract('onnxEngine without memory', async t => ({
  engine: await tinyEngine(t, { precision: 'float32', runBytes: 0, loraBytes: 0 }),
  rows,
  loras: await loras(),
  bad,
}))

engineContract('echoEngine', () =>
  Promise.resolve({
    engine: echoEngine(),
    rows: ['one', 'two words', 'three words here', 'and four of them'].map(text => ({
      ...greedyRow([], 10),
      prompt: { text },
    })),
    loras: ['a', 'b', 'c'].map(id => alone(adapter(id))),
    bad: [{ row: { ...greedyRow([], 10), prompt: { text: 'refuse me' } }, code: 'PROMPT_TOO_LONG' }],
  }),
)
