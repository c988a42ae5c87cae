import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { openModel } from '../../src/hf/model.ts'
import { openBaseModel } from '../../src/infer/base-model.ts'
import { generationGraph, scoringGraph } from '../../src/infer/generation.ts'
import { KINDS, type Kind } from '../../src/infer/lora-slots.ts'
import type { Precision } from '../../src/infer/stored-weights.ts'
import { buildGraph } from '../../src/onnx/graph.ts'
import { modelBytes, type GraphMessage } from '../../src/onnx/proto.ts'
import { temporaryFolder } from '../support/peft-files.ts'
import { tinyLlama } from '../support/tiny-engine.ts'

const python = spawnSync('python3', ['-c', 'import onnx']).status === 0
const skip = !python && 'NO GRAPH WAS CHECKED BY ONNX: python3 has no module onnx; pip install onnx brings it'

/** Checks models by onnx's own checker, shapes and types too, and prints what it read. */
const script = `
import json, sys, onnx
def weights(graph):
    return sorted(t.name for t in graph.initializer if t.external_data)
for path in sys.argv[1:]:
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path, load_external_data=False)
    print(json.dumps({
        'ir': model.ir_version,
        'opsets': {o.domain: o.version for o in model.opset_import},
        'producer': [model.producer_name, model.producer_version],
        'inputs': {i.name: [i.type.tensor_type.elem_type] + [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input},
        'outputs': [o.name for o in model.graph.output],
        'weights': weights(model.graph),
        'nodes': len(model.graph.node),
    }))
`

type Read = {
  readonly ir: number
  readonly opsets: Readonly<Record<string, number>>
  readonly producer: readonly string[]
  readonly inputs: Readonly<Record<string, readonly (string | number)[]>>
  readonly outputs: readonly string[]
  readonly weights: readonly string[]
  readonly nodes: number
}

function check(...paths: readonly string[]): readonly Read[] {
  const { status, stdout, stderr } = spawnSync('python3', ['-c', script, ...paths], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  return (
    stdout
      .trim()
      .split('\n')
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the script above prints it
      .map(line => JSON.parse(line) as Read)
  )
}

const checked = { producerVersion: '1.2.3', namedDimensions: true }

for (const precision of ['float32', 'int8'] as const satisfies readonly Precision[]) {
  test(
    `the graphs of a base model at ${precision} are valid ONNX, without LoRAs and with them on every kind`,
    { skip },
    async t => {
      const cache = await temporaryFolder(t)
      const data = { path: tinyLlama, device: 'cpu', precision, template: 'raw', cache } as const
      const rest = { threads: undefined, loraBytes: 0, runBytes: 0 }
      const base = await openBaseModel({ ...data, ...rest }, () => undefined)
      // The checker looks for weights beside the model.
      if (precision === 'float32')
        await copyFile(join(tinyLlama, 'model.safetensors'), join(cache, 'model.safetensors'))
      const folder = precision === 'float32' ? cache : base.weightFolder
      const paths: string[] = []
      const write = async (name: string, graph: GraphMessage): Promise<void> => {
        paths.push(join(folder, name))
        await writeFile(join(folder, name), modelBytes(graph, checked))
      }
      for (const kinds of [[], ['q_proj', 'v_proj'], KINDS] as const satisfies readonly (readonly Kind[])[]) {
        for (const device of ['cuda', 'cpu'] as const)
          await write(
            `generation.${kinds.length}.${device}.onnx`,
            generationGraph(base.config, base.weights, kinds, device),
          )
        await write(`scoring.${kinds.length}.onnx`, scoringGraph(base.config, base.weights, kinds))
      }
      const models = check(...paths)
      assert.equal(models.length, 9)
      const { tensors } = await openModel(tinyLlama)
      for (const [index, model] of models.entries()) {
        assert.deepEqual([model.ir, model.producer], [10, ['lorastream', '1.2.3']])
        assert.deepEqual(model.opsets, { '': 21, 'com.microsoft': 1 })
        assert.deepEqual(model.inputs['tokens'], [7, 'b', 't'])
        assert.deepEqual(model.outputs, [index % 3 === 2 ? 'logits' : 'generated'])
        // q, k and v may be one.
        const names = model.weights.flatMap(name => name.replace(/(\.scales)?:.*/, '').split('+'))
        assert.deepEqual(new Set(names), new Set(tensors.keys()))
        // Each weight is there once, however many nodes use it.
        if (precision === 'float32') assert.equal(model.weights.length, tensors.size)
      }
      assert.equal(models[0]?.inputs['q_proj.a'], undefined)
      assert.ok(models[6]?.inputs['down_proj.a'])
      assert.deepEqual(models[7]?.inputs['buckets.widths'], [7, 'buckets'])
    },
  )
}

test('the checker refuses a graph that is wrong', { skip }, async t => {
  const path = join(await temporaryFolder(t), 'wrong.onnx')
  const wrong = buildGraph('wrong', graph => {
    const x = graph.input('x', 'float32', ['n'])
    graph.output(graph.node('Add', [x, graph.constant('int64', [1])]), 'float32', 'y', ['n'])
  })
  await writeFile(path, modelBytes(wrong, checked))
  assert.throws(() => check(path), /Add/)
})
