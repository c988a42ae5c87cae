import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ModelError, UnsupportedModelError } from '../../src/errors.ts'
import { parseConfigJson } from '../../src/hf/config-json.ts'
import { parseJsonObject } from '../../src/hf/json.ts'

const golden = join(import.meta.dirname, '../fixtures/golden')

const llama = {
  model_type: 'llama',
  architectures: ['LlamaForCausalLM'],
  hidden_size: 64,
  intermediate_size: 176,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  vocab_size: 264,
}

function parse(config: Readonly<Record<string, unknown>>, generation: Record<string, unknown> | null = null) {
  return parseConfigJson('m/config.json', config, 'm/generation_config.json', generation)
}

async function json(path: string): Promise<Readonly<Record<string, unknown>>> {
  return parseJsonObject(path, await readFile(join(golden, path)), message => new ModelError(message))
}

for (const model of ['tiny-llama', 'arch/llama3-rope', 'arch/qwen2']) {
  test(`${model}: both dialects of config.json say the same`, async () => {
    const now = parse(await json(`${model}/config.json`))
    const before = parse(await json(`${model}/config.legacy.json`))
    assert.deepEqual(now, before)
    assert.deepEqual(now.eosTokenIds, [2])
  })
}

test('a whole config is read', async () => {
  assert.deepEqual(parse(await json('arch/llama3-rope/config.json')), {
    architecture: 'llama',
    layers: 2,
    hidden: 64,
    intermediate: 128,
    heads: 4,
    kvHeads: 2,
    headDim: 16,
    vocab: 264,
    contextLength: 512,
    normEps: 1e-6,
    ropeTheta: 500_000,
    ropeScaling: { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalContext: 64 },
    tied: true,
    qkvBias: false,
    outputBias: false,
    mlpBias: false,
    eosTokenIds: [2],
    bosTokenId: 1,
    padTokenId: 0,
  })
})

test('absent keys mean what transformers takes them for', () => {
  const config = parse(llama)
  assert.equal(config.kvHeads, 4)
  assert.equal(config.headDim, 16)
  assert.equal(config.ropeTheta, 10_000)
  assert.equal(config.normEps, 1e-6)
  assert.equal(config.contextLength, 2048)
  assert.equal(config.tied, false)
  assert.deepEqual(config.ropeScaling, { type: 'none' })
  assert.deepEqual([config.eosTokenIds, config.bosTokenId, config.padTokenId], [[], null, null])
  const qwen2 = parse({ ...llama, model_type: 'qwen2', architectures: null, sliding_window: 32_768 })
  assert.deepEqual([qwen2.qkvBias, qwen2.outputBias, qwen2.contextLength], [true, false, 32_768])
})

test('attention_bias gives biases to q, k, v and o', () => {
  const config = parse({ ...llama, attention_bias: true, mlp_bias: true })
  assert.deepEqual([config.qkvBias, config.outputBias, config.mlpBias], [true, true, true])
})

test('linear rope scaling is read from both spellings', () => {
  for (const rope of [
    { rope_scaling: { type: 'linear', factor: 2 }, rope_theta: 500 },
    { rope_scaling: { rope_type: 'linear', factor: 2 }, rope_theta: 500 },
    { rope_parameters: { rope_type: 'linear', factor: 2, rope_theta: 500 } },
  ]) {
    const config = parse({ ...llama, ...rope })
    assert.deepEqual([config.ropeTheta, config.ropeScaling], [500, { type: 'linear', factor: 2 }])
  }
})

test('the end tokens of the generation config come before those of the config', () => {
  assert.deepEqual(parse({ ...llama, eos_token_id: 7 }, { eos_token_id: [5, 6] }).eosTokenIds, [5, 6])
  assert.deepEqual(parse({ ...llama, eos_token_id: [7, 8] }, {}).eosTokenIds, [7, 8])
  assert.equal(parse({ ...llama, pad_token_id: -1 }).padTokenId, null)
})

const unsupported: [change: Record<string, unknown>, message: RegExp][] = [
  [{ model_type: 'gemma2' }, /m\/config\.json: model_type is "gemma2", expected "llama" or "qwen2"/],
  [{ model_type: undefined }, /model_type is "absent"/],
  [{ architectures: ['LlamaForSequenceClassification'] }, /architectures is \[LlamaForSequenceClassification\]/],
  [{ hidden_act: 'gelu' }, /hidden_act is gelu, expected "silu"/],
  [{ quantization_config: { quant_method: 'gptq' } }, /quantization_config is an object, expected none/],
  [{ sliding_window: 4096 }, /sliding_window is 4096/],
  [{ model_type: 'qwen2', architectures: null, use_sliding_window: true, sliding_window: 9 }, /sliding_window is 9/],
  [{ layer_types: ['full_attention', 'sliding_attention'] }, /layer_types is/],
  [{ rope_scaling: { type: 'yarn', factor: 2 } }, /rope type is "yarn", expected "default", "linear" or "llama3"/],
  [{ rope_parameters: { rope_type: 'dynamic' } }, /rope_parameters: rope type is "dynamic"/],
  [{ partial_rotary_factor: 0.5 }, /partial_rotary_factor is 0\.5, expected 1/],
  [{ rope_parameters: { partial_rotary_factor: 0.5 } }, /rope_parameters\.partial_rotary_factor is 0\.5/],
  [{ final_logit_softcapping: 30 }, /final_logit_softcapping is 30/],
  [{ logits_scaling: 8 }, /logits_scaling is 8, expected 1/],
]
for (const [change, message] of unsupported) {
  test(`not supported: ${JSON.stringify(change)}`, () => {
    assert.throws(() => parse({ ...llama, ...change }), { name: 'UnsupportedModelError', message })
  })
}

const nonsense: [change: Record<string, unknown>, message: RegExp][] = [
  [{ hidden_size: undefined }, /m\/config\.json: hidden_size is absent, expected an integer from 1 to/],
  [{ hidden_size: '64' }, /hidden_size is 64/],
  [{ num_hidden_layers: 0 }, /num_hidden_layers is 0/],
  [{ num_hidden_layers: 1e9 }, /num_hidden_layers is 1000000000, expected an integer from 1 to 1024/],
  [{ num_attention_heads: 2.5 }, /num_attention_heads is 2\.5/],
  [{ num_attention_heads: 3 }, /head_dim is 21\.3/],
  [{ num_key_value_heads: 3 }, /4 attention heads cannot share 3/],
  [{ num_key_value_heads: 8 }, /num_key_value_heads is 8/],
  [{ head_dim: 15 }, /head dimension of 15, expected an even number/],
  [{ vocab_size: -1 }, /vocab_size is -1/],
  [{ max_position_embeddings: null, vocab_size: null }, /vocab_size is absent/],
  [{ rms_norm_eps: 0 }, /rms_norm_eps is 0/],
  [{ rope_theta: -5 }, /rope_theta is -5/],
  [{ rope_theta: 1, rope_parameters: { rope_theta: 2 } }, /rope_theta is 1, but 2 in rope_parameters/],
  [{ rope_scaling: 'x' }, /rope_scaling is x, expected an object/],
  [{ rope_scaling: { type: 'linear' } }, /rope_scaling\.factor is absent/],
  [
    {
      rope_scaling: {
        rope_type: 'llama3',
        factor: 8,
        low_freq_factor: 4,
        high_freq_factor: 4,
        original_max_position_embeddings: 64,
      },
    },
    /high_freq_factor is 4, expected more/,
  ],
  [{ eos_token_id: 264 }, /eos_token_id is 264, expected an integer from 0 to 263/],
  [{ eos_token_id: Array.from({ length: 100 }, () => 1) }, /eos_token_id: 100 tokens/],
  [{ tie_word_embeddings: 'yes' }, /tie_word_embeddings is yes, expected true or false/],
]
for (const [change, message] of nonsense) {
  test(`no sense: ${JSON.stringify(change).slice(0, 80)}`, () => {
    assert.throws(() => parse({ ...llama, ...change }), { name: 'ModelError', message })
  })
}

test('whatever a config holds, the answer is a checked config or a model error', () => {
  const keys = [...Object.keys(llama), 'head_dim', 'num_key_value_heads', 'rope_theta', 'rope_scaling', 'eos_token_id']
  const value = fc.oneof(fc.jsonValue(), fc.nat(300), fc.constant({ rope_type: 'linear', factor: 2 }))
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...keys), value, { maxKeys: 3 }), change => {
      try {
        const config = parse({ ...llama, ...change })
        assert.equal(config.heads % config.kvHeads, 0)
      } catch (error) {
        if (!(error instanceof ModelError) && !(error instanceof UnsupportedModelError)) throw error
      }
    }),
    { numRuns: 2000 },
  )
})
