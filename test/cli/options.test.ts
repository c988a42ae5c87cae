import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readArguments } from '../../src/cli/arguments.ts'
import { readTopology, topologyOptions } from '../../src/cli/options.ts'

const topology = (...args: readonly string[]) => {
  const { strategy, k } = readTopology(readArguments('complete', args, { text: [...topologyOptions], flags: [] }))
  return [strategy, k]
}

test('options: prompts are answered as by the adaptive topology unless told otherwise', () => {
  assert.deepEqual(topology(), ['adaptive', 8])
  assert.deepEqual(topology('--k', '2'), ['adaptive', 2])
  assert.deepEqual(topology('--strategy', 'mixture'), ['mixture', 3])
  assert.deepEqual(topology('--strategy', 'fusion', '--k', '5'), ['fusion', 5])
})
