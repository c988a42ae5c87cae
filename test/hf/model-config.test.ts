import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ropeInverseFrequencies } from '../../src/hf/model-config.ts'

const near = (actual: Float32Array, expected: readonly number[]) => {
  assert.equal(actual.length, expected.length)
  for (const [i, value] of expected.entries()) {
    assert.ok(Math.abs((actual[i] ?? NaN) - value) <= 2e-7 * value, `pair ${i}: ${actual[i]}, expected ${value}`)
  }
}

test('plain frequencies fall from 1 by powers of theta', () => {
  const actual = ropeInverseFrequencies({ headDim: 8, ropeTheta: 10_000, ropeScaling: { type: 'none' } })
  near(actual, [1, 0.1, 0.01, 0.001])
})

test('linear scaling divides every frequency', () => {
  const actual = ropeInverseFrequencies({ headDim: 8, ropeTheta: 10_000, ropeScaling: { type: 'linear', factor: 4 } })
  near(actual, [0.25, 0.025, 0.0025, 0.00025])
})

test('llama3 scaling keeps short waves, stretches long ones and blends those between', () => {
  const ropeScaling = { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalContext: 64 } as const
  const actual = ropeInverseFrequencies({ headDim: 8, ropeTheta: 10_000, ropeScaling })
  // 64 positions are 10.19, 1.019, 0.102 and 0.0102 turns: kept, blended, stretched, stretched.
  const smooth = ((64 * 0.1) / (2 * Math.PI) - 1) / 3
  near(actual, [1, (1 - smooth) * (0.1 / 8) + smooth * 0.1, 0.01 / 8, 0.001 / 8])
})
