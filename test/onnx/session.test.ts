import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError } from '../../src/errors.ts'
import { buildGraph } from '../../src/onnx/graph.ts'
import { modelBytes } from '../../src/onnx/proto.ts'
import { openSession, type Device } from '../../src/onnx/session.ts'

const twice = modelBytes(
  buildGraph('twice', graph => {
    const x = graph.input('x', 'float32', ['n'])
    graph.output(graph.node('Add', [x, x]), 'float32', 'y', ['n'])
  }),
  { producerVersion: '0' },
)

/** What opening on a device throws, or null when the device is there. */
async function refusal(device: Device): Promise<unknown> {
  try {
    const session = await openSession(twice, { device, name: 'twice' })
    await session.close()
    return null
  } catch (error) {
    return error
  }
}

test('the CPU runs a graph', async () => {
  const session = await openSession(twice, { device: 'cpu', name: 'twice' })
  const { y } = await session.run({ x: { type: 'float32', data: Float32Array.of(1, 2.5), dims: [2] } })
  assert.deepEqual(y, { type: 'float32', data: Float32Array.of(2, 5), dims: [2] })
  await session.close()
})

test('cuda without its library says which device, which model, and how to install it', async t => {
  const error = await refusal('cuda')
  if (error === null) return t.skip('this machine has CUDA')
  assert.ok(error instanceof ConfigError)
  assert.match(error.message, /^device "cuda" cannot run twice: it needs Linux x64, an NVIDIA GPU with CUDA 12/)
  assert.match(error.message, /node node_modules\/onnxruntime-node\/script\/install\.js --onnxruntime-node-install\./)
  assert.match(error.message, /ONNX Runtime said: \S/)
})

test('a device that this platform has no backend for is refused, and not replaced by the CPU', async () => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- stands for a device that another platform has
  const error = await refusal('elsewhere' as Device)
  assert.ok(error instanceof ConfigError)
  assert.match(error.message, /^device "elsewhere" cannot run twice.*backend not found/)
})
