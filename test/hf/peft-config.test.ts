import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { AdapterError } from '../../src/errors.ts'
import { openPeft } from '../../src/hf/peft.ts'
import { adapterOf, loraConfig, refused, smallBase } from '../support/peft-files.ts'

test('options without effect are ignored, and options that are off are no options', async t => {
  const config = loraConfig({
    auto_mapping: { base_model_class: 'X' },
    base_model_name_or_path: 'somewhere',
    fan_in_fan_out: true,
    inference_mode: true,
    init_lora_weights: 'gaussian',
    loftq_config: {},
    lora_dropout: 0.1,
    megatron_core: 'megatron.core',
    peft_version: '0.21.2',
    qalora_group_size: 16,
    revision: 'main',
    task_type: 'CAUSAL_LM',
    use_dora: false,
    modules_to_save: null,
    some_future_option: {},
    another: [],
    bias: null,
  })
  await openPeft(await adapterOf(t, { config }), smallBase)
})

test('an option that would change the maths is refused by name', async t => {
  for (const options of [
    { use_dora: true },
    { bias: 'all' },
    { bias: 'lora_only' },
    { modules_to_save: ['lm_head'] },
    { lora_bias: true },
    { trainable_token_indices: [1] },
    { layer_replication: [[0, 2]] },
    { target_parameters: ['mlp.experts'] },
    { use_qalora: true },
    { use_bdlora: { nblocks: 2 } },
    { alora_invocation_tokens: [5] },
    { arrow_config: { top_k: 3 } },
    { megatron_config: { a: 1 } },
    { init_lora_weights: 'pissa' },
    { init_lora_weights: 'loftq' },
    { some_future_option: 1 },
    { peft_type: 'LOHA' },
    { peft_type: undefined },
  ]) {
    const [name = ''] = Object.keys(options)
    await refused(t, { config: loraConfig(options) }, new RegExp(`adapter_config\\.json: ${name} is .*, expected`))
  }
})

test('an option with a value that cannot be is refused by name', async t => {
  for (const options of [
    { r: 0 },
    { r: -1 },
    { r: 2.5 },
    { r: '8' },
    { r: 1e9 },
    { r: undefined },
    { lora_alpha: 0 },
    { lora_alpha: -4 },
    { lora_alpha: 1e300 },
    { lora_alpha: null },
    { use_rslora: 1 },
    { target_modules: [] },
    { target_modules: '' },
    { target_modules: null },
    { target_modules: [1] },
    { target_modules: { q_proj: true } },
    { target_modules: 'q'.repeat(2000) },
    { layers_to_transform: [-1] },
    { layers_to_transform: ['0'] },
    { layers_to_transform: true },
    { layers_pattern: 'layers' },
    { rank_pattern: { q_proj: 0 } },
    { rank_pattern: ['q_proj'] },
    { alpha_pattern: { q_proj: '4' } },
    { exclude_modules: 7 },
  ]) {
    const [name = ''] = Object.keys(options)
    await refused(t, { config: loraConfig(options) }, new RegExp(`adapter_config\\.json: ${name} .*expected`))
  }
  await refused(
    t,
    { config: loraConfig({ target_modules: '.*q_proj', layers_to_transform: [0] }) },
    /layers_to_transform is .*, expected none beside a pattern/,
  )
})

test('a config that is no JSON object in UTF-8 is refused', async t => {
  for (const config of ['', '{', '[]', 'null', '"r"', '{"r": NaN}', `{"peft_type": "LORA"`]) {
    await refused(t, { config }, /adapter_config\.json/)
  }
  const directory = await adapterOf(t, {})
  await writeFile(join(directory, 'adapter_config.json'), Uint8Array.of(0x7b, 0xff, 0x7d))
  await assert.rejects(openPeft(directory), AdapterError)
  await refused(t, { config: ' '.repeat(2 * 1024 * 1024) }, /adapter_config\.json: 2097152 bytes, expected at most/)
})

test('whatever the config says, it is taken or refused as an adapter error, and nothing else happens', async t => {
  const directory = await adapterOf(t, {})
  const options = [...Object.keys(loraConfig()), 'use_rslora', 'rank_pattern', 'alpha_pattern', 'layers_to_transform']
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom('q_proj', ['q_proj', 'v_proj'], 'all-linear', 2, 4, { q_proj: 2 }, [0, 1], true),
  )
  await fc.assert(
    fc.asyncProperty(fc.dictionary(fc.oneof(fc.constantFrom(...options), fc.string()), value), async changes => {
      await writeFile(join(directory, 'adapter_config.json'), JSON.stringify({ ...loraConfig(), ...changes }))
      const outcome = await openPeft(directory, smallBase).catch((error: unknown) => error)
      if (outcome instanceof AdapterError)
        assert.match(outcome.message, /adapter_config\.json|adapter_model\.safetensors/)
      else assert.ok(!(outcome instanceof Error), String(outcome))
    }),
    { numRuns: 200 },
  )
})
