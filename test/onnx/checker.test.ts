import { spawnSync } from 'node:child_process'
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openModel } from '../../src/hf/model.ts'
import { generationGraph, scoringGraph } from '../../src/infer/generation.ts'
import { KINDS } from '../../src/infer/lora-slots.ts'
import { storeWeights } from '../../src/infer/stored-weights.ts'
import { weightsIn } from '../../src/infer/weights.ts'
import { modelBytes } from '../../src/onnx/proto.ts'

const tiny = fileURLToPath(new URL('../fixtures/golden/tiny-llama', import.meta.url))

const hasOnnx = spawnSync('python3', ['-c', 'import onnx']).status === 0
const skip = hasOnnx ? false : 'NOT CHECKED: python3 has no module onnx; pip install onnx brings it'

/** What onnx.checker says of a model file; nothing when it is valid. */
function check(path: string): string {
  const code = 'import onnx, sys; onnx.checker.check_model(sys.argv[1])'
  const { stderr, status } = spawnSync('python3', ['-c', code, path], { encoding: 'utf8' })
  return status === 0 ? '' : stderr
}

for (const precision of ['float32', 'int8'] as const) {
  test(`the ${precision} graphs are valid for onnx.checker, with LoRAs and without`, { skip }, async t => {
    const cache = await mkdtemp(join(tmpdir(), 'lorastream-checker-'))
    t.after(() => rm(cache, { recursive: true }))
    await cp(tiny, join(cache, 'tiny'), { recursive: true })
    const model = await openModel(join(cache, 'tiny'))
    const stored = await storeWeights(model, { precision, cache, digest: `sha256:${'0'.repeat(64)}` })
    const weights = weightsIn(stored, model.config, 'cpu')
    const graphs = {
      base: generationGraph(model.config, weights, []),
      adapted: generationGraph(model.config, weights, KINDS),
      scoring: scoringGraph(model.config, weights, KINDS),
    }
    for (const [name, graph] of Object.entries(graphs)) {
      // Beside its weights: the checker follows the references.
      const path = join(stored.folder, `${name}.onnx`)
      await writeFile(path, modelBytes(graph, { producerVersion: '0', namedDimensions: true }))
      assert.equal(check(path), '', name)
    }
    const broken = join(stored.folder, 'broken.onnx')
    const { node, ...rest } = graphs.scoring
    await writeFile(
      broken,
      modelBytes({ ...rest, node: node.slice(1) }, { producerVersion: '0', namedDimensions: true }),
    )
    assert.notEqual(check(broken), '', 'the checker would not find a missing node')
  })
}
