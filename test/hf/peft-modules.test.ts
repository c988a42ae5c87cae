import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openPeft } from '../../src/hf/peft.ts'
import { adapterOf, loraConfig, loraTensors, refused, smallBase } from '../support/peft-files.ts'

const ranks = (module: string): number => {
  if (module === 'model.layers.1.mlp.down_proj') return 4
  return module.endsWith('q_proj') ? 1 : module.includes('layers.1') ? 3 : 2
}

test('the scale is alpha / r, with rsLoRA alpha / √r', async t => {
  const tensors = loraTensors(/[qv]_proj/, 4)
  for (const [use_rslora, scale] of [
    [false, 1.5],
    [true, 3],
  ] as const) {
    const directory = await adapterOf(t, { config: loraConfig({ r: 4, lora_alpha: 6, use_rslora }), tensors })
    const adapter = await openPeft(directory, smallBase)
    assert.ok([...adapter.modules.values()].every(module => module.scale === scale))
  }
})

test('the first pattern that fits a name or an ending of it gives rank and alpha', async t => {
  const config = loraConfig({
    target_modules: ['q_proj', 'v_proj', 'down_proj'],
    rank_pattern: { 'layers.1.mlp.down_proj': 4, q_proj: 1, 'layers\\.1\\.(self_attn|mlp)\\..*': 3, proj: 9 },
    alpha_pattern: { '^model.layers.0.self_attn.q_proj': 5, q_pro: 7 },
  })
  const directory = await adapterOf(t, { config, tensors: loraTensors(/(q|v|down)_proj/, ranks) })
  const { modules, rank } = await openPeft(directory, smallBase)
  assert.equal(rank, 4)
  const scaleOf = (name: string): readonly (number | undefined)[] => {
    const module = modules.get(`model.layers.${name}`)
    return [module?.rank, module?.scale]
  }
  assert.deepEqual(scaleOf('0.self_attn.q_proj'), [1, 5])
  assert.deepEqual(scaleOf('1.self_attn.q_proj'), [1, 4])
  assert.deepEqual(scaleOf('0.self_attn.v_proj'), [2, 2])
  assert.deepEqual(scaleOf('1.self_attn.v_proj'), [3, 4 / 3])
  assert.deepEqual(scaleOf('1.mlp.down_proj'), [4, 1])
})

test('target_modules is a list of endings, a regular expression, or all-linear', async t => {
  const all = /./
  const accepted: readonly (readonly [unknown, RegExp])[] = [
    [['q_proj', 'v_proj'], /[qv]_proj/],
    [['model.layers.0.self_attn.q_proj', 'up_proj'], /0\.self_attn\.q_proj|up_proj/],
    [['self_attn.q_proj', 'c_attn'], /q_proj/],
    ['.*\\.(q|v)_proj', /[qv]_proj/],
    ['model\\.layers\\.1\\..*', /layers\.1/],
    ['all-linear', all],
    ['All-Linear', all],
  ]
  const base = new Map([...smallBase, ['lm_head', { in: 4, out: 100 }]])
  for (const [target_modules, matching] of accepted) {
    const directory = await adapterOf(t, { config: loraConfig({ target_modules }), tensors: loraTensors(matching, 2) })
    const { modules } = await openPeft(directory, base)
    assert.equal(modules.size, [...smallBase.keys()].filter(name => matching.test(name)).length)
  }
})

test('layers_to_transform confines endings, but not full names, to its layers', async t => {
  for (const [options, matching] of [
    [{ layers_to_transform: [1] }, /layers\.1.*[qv]_proj/],
    [{ layers_to_transform: 0, layers_pattern: 'layers' }, /layers\.0.*[qv]_proj/],
    [{ layers_to_transform: [0, 1], layers_pattern: ['h', 'layers'] }, /[qv]_proj/],
    [{ layers_to_transform: [], layers_pattern: [] }, /[qv]_proj/],
    [{ layers_to_transform: [1], target_modules: ['model.layers.0.mlp.up_proj', 'q_proj'] }, /0\.mlp\.up|1.*q_proj/],
  ] as const) {
    const directory = await adapterOf(t, { config: loraConfig(options), tensors: loraTensors(matching, 2) })
    await openPeft(directory, smallBase)
  }
  await refused(
    t,
    { config: loraConfig({ layers_to_transform: [0], layers_pattern: 'blocks' }) },
    /"model\.layers\.0\.self_attn\.q_proj", which target_modules does not select/,
  )
})

test('exclude_modules takes modules out of target_modules', async t => {
  for (const exclude_modules of [['v_proj'], '.*v_proj']) {
    const config = loraConfig({ exclude_modules })
    await openPeft(await adapterOf(t, { config, tensors: loraTensors(/q_proj/, 2) }), smallBase)
    await refused(t, { config }, /v_proj", which target_modules does not select/)
  }
})

test('a pattern that cannot be read, or does not come to an end, is refused', async t => {
  await refused(t, { config: loraConfig({ target_modules: '(q_proj' }) }, /target_modules cannot be matched/)
  await refused(t, { config: loraConfig({ target_modules: '\\Aq_proj\\Z' }) }, /target_modules cannot be matched/)
  await refused(t, { config: loraConfig({ rank_pattern: { '[': 2 } }) }, /rank_pattern cannot be matched/)
  await refused(
    t,
    { config: loraConfig({ target_modules: '([a-z._0-9]+)*X' }) },
    /target_modules cannot be .*timed out/,
  )
})
