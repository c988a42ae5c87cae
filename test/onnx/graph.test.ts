import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { buildGraph, float, type Graph, type Value } from '../../src/onnx/graph.ts'
import { modelBytes } from '../../src/onnx/proto.ts'
import { openSession, type TensorData } from '../../src/onnx/session.ts'
import { temporaryFolder } from '../support/peft-files.ts'

/** Runs a graph of one input `x` float32 `[n]`. */
async function run(
  build: (graph: Graph, x: Value) => void,
  x: readonly number[],
): Promise<Readonly<Record<string, TensorData>>> {
  const graph = buildGraph('test', root => build(root, root.input('x', 'float32', ['n'])))
  const session = await openSession(modelBytes(graph, { producerVersion: '0' }), { device: 'cpu', name: 'test' })
  const results = await session.run({ x: { type: 'float32', data: Float32Array.from(x), dims: [x.length] } })
  await session.close()
  return results
}

test('constants arrive as they were written, of every type and shape', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { minLength: 1, maxLength: 6 }),
      fc.array(fc.maxSafeInteger(), { minLength: 1, maxLength: 6 }),
      fc.array(fc.float({ noNaN: true }), { minLength: 1, maxLength: 6 }),
      async (ints, longs, floats) => {
        const results = await run((graph, x) => {
          graph.output(graph.constant('int32', ints), 'int32', 'ints')
          graph.output(graph.constant('int64', longs, [1, longs.length, 1]), 'int64', 'longs')
          graph.output(graph.constant('float32', Float32Array.from(floats)), 'float32', 'floats')
          graph.output(graph.node('Identity', [x]), 'float32', 'same')
        }, floats)
        assert.deepEqual(results['ints']?.data, Int32Array.from(ints))
        assert.deepEqual(results['longs'], {
          type: 'int64',
          data: BigInt64Array.from(longs, BigInt),
          dims: [1, longs.length, 1],
        })
        assert.deepEqual(results['floats']?.data, Float32Array.from(floats))
        assert.deepEqual(results['same']?.data, Float32Array.from(floats))
      },
    ),
    { numRuns: 20 },
  )
})

test('equal constants are one, and others are not taken for them', () => {
  const { initializer } = buildGraph('constants', graph => {
    const one = graph.constant('int64', [1])
    assert.equal(graph.constant('int64', [1]), one)
    for (const other of [
      graph.constant('int64', [1], [1]),
      graph.constant('int64', [2]),
      graph.constant('int32', [1]),
      graph.constant('int64', [1, 0]),
    ])
      assert.notEqual(other, one)
    assert.notEqual(graph.constant('int32', [0]), graph.constant('float32', [0]))
    const long = Array.from({ length: 100 }, () => 1)
    assert.notEqual(graph.constant('int64', long), graph.constant('int64', [...long.slice(1), 2]))
  })
  assert.equal(initializer.length, 9)
  assert.equal(new Set(initializer.map(({ name }) => name)).size, 9)
})

test('attributes of every kind, absent optional inputs and nodes of several outputs arrive', async () => {
  const results = await run(
    (graph, x) => {
      graph.output(graph.node('LeakyRelu', [x], { alpha: float(0.25) }), 'float32', 'floats')
      graph.output(graph.node('Clip', [x, null, graph.constant('float32', [2])]), 'float32', 'absent')
      const [top, places] = graph.nodes('TopK', [x, graph.constant('int64', [2], [1])], { axis: 0, largest: 0 }, 2)
      assert.ok(top && places)
      graph.output(top, 'float32', 'top')
      graph.output(places, 'int64', 'places')
      const matrix = graph.node('Unsqueeze', [x, graph.constant('int64', [0], [1])])
      graph.output(graph.node('Transpose', [matrix], { perm: [1, 0] }), 'float32', 'turned')
      graph.output(graph.node('com.microsoft::QuickGelu', [x], { alpha: float(1) }), 'float32', 'other')
      graph.output(graph.node('Gelu', [x], { approximate: 'tanh' }), 'float32', 'strings')
    },
    [-4, 3, 1],
  )
  assert.deepEqual(results['floats']?.data, Float32Array.of(-1, 3, 1))
  assert.deepEqual(results['absent']?.data, Float32Array.of(-4, 2, 1))
  assert.deepEqual(results['top']?.data, Float32Array.of(-4, 1))
  assert.deepEqual(results['places']?.data, BigInt64Array.of(0n, 2n))
  assert.deepEqual(results['turned']?.dims, [3, 1])
  assert.ok(Math.abs(Number(results['other']?.data[1]) - 3 / (1 + Math.exp(-3))) < 1e-5)
  assert.ok(Math.abs(Number(results['strings']?.data[2]) - 0.841192) < 1e-4)
})

test('bodies of Loop and If use the values around them, and their names meet no others', async () => {
  const results = await run(
    (graph, x) => {
      const one = graph.constant('float32', [1])
      const body = graph.subgraph('body', inner => {
        inner.input('i', 'int64', [])
        inner.input('go', 'bool', [])
        const sum = inner.input('sum', 'float32', ['n'])
        const next = inner.node('Add', [sum, inner.node('Add', [x, one])])
        inner.output(inner.constant('bool', [1]), 'bool')
        inner.output(next, 'float32')
      })
      const trips = graph.constant('int64', [3])
      const [sum] = graph.nodes('Loop', [trips, graph.constant('bool', [1]), x], { body }, 1)
      assert.ok(sum)
      const pick = (name: string, factor: number) =>
        graph.subgraph(name, inner => {
          inner.output(inner.node('Mul', [sum, inner.constant('float32', [factor])]), 'float32')
        })
      const positive = graph.node('Greater', [graph.node('ReduceSum', [x], { keepdims: 0 }), one])
      graph.output(
        graph.node('If', [positive], { then_branch: pick('then', 10), else_branch: pick('else', -1) }),
        'float32',
        'y',
      )
    },
    [1, 2],
  )
  assert.deepEqual(results['y']?.data, Float32Array.of(70, 110))
})

test('a weight is one value however often it is asked for, and says where its bytes lie', () => {
  const { initializer } = buildGraph('weights', graph => {
    const data = { location: 'model.safetensors', offset: 2 ** 40 + 8, length: 24 }
    assert.equal(graph.weight('w', 'float32', [2, 3], data), graph.weight('w', 'float32', [2, 3], data))
  })
  assert.deepEqual(initializer, [
    {
      name: 'w',
      dims: [2, 3],
      dataType: 1,
      dataLocation: 1,
      externalData: [
        { key: 'location', value: 'model.safetensors' },
        { key: 'offset', value: String(2 ** 40 + 8) },
        { key: 'length', value: '24' },
      ],
    },
  ])
})

test('what a session lacks, or cannot read, fails the opening', async t => {
  const folder = await temporaryFolder(t)
  const graph = buildGraph('weights', root => {
    const data = { location: 'weights', offset: 0, length: 8 }
    root.output(root.node('Identity', [root.weight('w', 'float32', [2], data)]), 'float32', 'y')
  })
  const bytes = modelBytes(graph, { producerVersion: '0' })
  const open = () => openSession(bytes, { device: 'cpu', weightFolder: folder, name: 'weights' })
  await assert.rejects(open(), /weights/)
  await writeFile(join(folder, 'weights'), Buffer.alloc(4))
  await assert.rejects(open(), /out of bounds/)
  await writeFile(join(folder, 'weights'), new Uint8Array(Float32Array.of(1, 2).buffer))
  const session = await open()
  assert.deepEqual((await session.run({}))['y']?.data, Float32Array.of(1, 2))
  await session.close()
  await assert.rejects(openSession(bytes.subarray(0, 40), { device: 'cpu', name: 'cut' }))
})
