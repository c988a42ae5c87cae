import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { swiftshaderEnvironment } from '../../infra/swiftshader.ts'
import { ConfigError } from '../../src/errors.ts'
import { onnxEngine, type EngineData } from '../../src/infer/onnx-engine.ts'
import { answersOf, runScript } from '../support/engine-process.ts'
import { composeRows, golden, goldenBatch } from '../support/golden.ts'

/**
 * A driver is found by what a process's environment says when it starts, so that WebGPU runs in processes of their own.
 */
const driver = swiftshaderEnvironment()
const skip =
  driver === null &&
  'WebGPU WAS NOT TESTED: there is no Vulkan driver. On Linux x64 fetch one with: node --import tsx infra/swiftshader.ts'

const path = join(golden, 'tiny-llama')
const NEW_TOKENS = 12

/** Every mode, ranks from 4 to 16, a negative weight, prompts of 8 to 71 tokens. */
const rows = [0, 10, 12, 17, 21, 36, 67].flatMap(index => composeRows[index] ?? [])
const baseRows = rows.filter(({ mode }) => mode === 'base')

let cache: string

before(async () => {
  cache = await mkdtemp(join(tmpdir(), 'lorastream-webgpu-'))
})

after(async () => {
  await rm(cache, { recursive: true })
})

test(
  'WebGPU gives the tokens of the CPU and of PEFT: to a mixed batch, to a sampled one, to one without adapters',
  { skip },
  async () => {
    assert.deepEqual(new Set(rows.map(({ mode }) => mode)), new Set(['base', 'selection', 'mixture', 'fusion']))
    // A smaller gap between the two best logits would leave the choice to the order of additions.
    assert.ok(
      rows.every(({ min_margin: margin }) => margin >= 0.001),
      'a row is too close to call',
    )
    const mixed = await goldenBatch(rows, NEW_TOKENS)
    const sampling = { temperature: 0.8, topP: 0.9, topK: 40 }
    const sampled = { ...mixed, rows: mixed.rows.map((row, seed) => ({ ...row, ...sampling, seed })) }
    const bare = await goldenBatch(baseRows, NEW_TOKENS)
    const batches = [mixed, sampled, bare]

    const options = { precision: 'float32', template: 'raw', cache } as const
    const engine = await onnxEngine(path, options)
    const cpu = []
    for (const batch of batches) cpu.push(await engine.run(batch))
    await engine.close()
    const webgpu = await answersOf({ path, options: { ...options, device: 'webgpu' }, batches }, driver ?? {})

    assert.equal(webgpu.error, undefined)
    assert.deepEqual(webgpu.outputs, cpu)
    const tokens = cpu.map(outputs => outputs.map(output => ('tokens' in output ? output.tokens : output)))
    const greedy = [rows, baseRows].map(some => some.map(row => row.greedy.slice(0, NEW_TOKENS)))
    assert.deepEqual([tokens[0], tokens[2]], greedy)
    assert.notDeepEqual(tokens[1], greedy[0])
  },
)

/** Operators of a forward pass, each on tensors of floats: what a GPU is there for. */
const heavy = new Set(
  'MatMul FusedMatMul Gemm MatMulNBits Softmax RotaryEmbedding SimplifiedLayerNormalization Pow ReduceMean Sqrt Div Sigmoid QuickGelu ArgMax TopK'.split(
    ' ',
  ),
)

test('ONNX Runtime leaves no part of the forward pass to the CPU', { skip }, async () => {
  const data: EngineData = {
    path,
    device: 'webgpu',
    precision: 'float32',
    template: 'raw',
    threads: undefined,
    cache,
    loraBytes: 0,
    runBytes: 0,
  }
  const { status, stderr } = await runScript('verbose-session.ts', driver ?? {}, JSON.stringify(data))
  assert.equal(status, 0, stderr.slice(-2000))
  const placed = placements(stderr)
  const heavyOn = (provider: string): readonly string[] => (placed.get(provider) ?? []).filter(op => heavy.has(op))
  assert.deepEqual([...placed.keys()].toSorted(), ['CPUExecutionProvider', 'WebGpuExecutionProvider'])
  assert.ok(heavyOn('WebGpuExecutionProvider').includes('MatMul'))
  assert.deepEqual(heavyOn('CPUExecutionProvider'), [])
})

/** The operators of each execution provider's nodes, out of a session's verbose log. */
function placements(log: string): ReadonlyMap<string, readonly string[]> {
  const placed = new Map<string, string[]>()
  let nodes: string[] = []
  for (const [, provider, op] of log.matchAll(
    /VerifyEachNodeIsAssignedToAnEp\] +(?:.* placed on \[(\w+)\]|(\w+) \()/g,
  )) {
    if (provider !== undefined) placed.set(provider, (nodes = []))
    else if (op !== undefined) nodes.push(op)
  }
  return placed
}

test('WebGPU without a driver is a ConfigError, in a process that goes on', async t => {
  if (process.platform !== 'linux') return t.skip('on this platform the driver is a part of the system')
  const nowhere = join(cache, 'none.json')
  const environment = { ...driver, VK_ICD_FILENAMES: nowhere, VK_DRIVER_FILES: nowhere }
  const options = { device: 'webgpu', template: 'raw', cache } as const
  const { error, ticks } = await answersOf({ path, options, batches: [] }, environment)
  assert.equal(error?.code, 'CONFIG_INVALID')
  assert.match(error.message, /^device "webgpu" cannot run tiny-llama: it needs a GPU with its driver: Vulkan on Linux/)
  assert.ok(ticks > 0)
})

test('int8 on WebGPU is refused by name', async () => {
  const opening = onnxEngine(path, { device: 'webgpu', precision: 'int8', template: 'raw', cache })
  await assert.rejects(opening, error => {
    assert.ok(error instanceof ConfigError)
    assert.match(error.message, /precision "int8" on device "webgpu" .* expected "float32"/)
    return true
  })
})
