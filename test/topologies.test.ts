import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { avro, memory, run, schemas, Topics, type MemoryTransport, type Prompt, type Topology } from 'lorastream'
import adaptive from '../topologies/adaptive.ts'
import compare from '../topologies/compare.ts'
import fusion from '../topologies/fusion.ts'
import mixture from '../topologies/mixture.ts'
import selection from '../topologies/selection.ts'
import { adapter, echoEngine, fixedPool } from './support/fakes.ts'

const topologies: Readonly<Record<string, Topology>> = { adaptive, compare, fusion, mixture, selection }
const adapters = ['a', 'b', 'c', 'd'].map(id => adapter(id))

function open(topics = new Topics()): MemoryTransport {
  return memory({ codec: avro(), topics, deadLetters: 'prompts.dead' })
}

/** Runs a topology over prompts until all are settled. */
async function answer(topology: Topology, prompts: readonly Prompt[], transport = open()): Promise<MemoryTransport> {
  await transport.produce('prompts', schemas.prompt, prompts)
  transport.topics.end('prompts')
  await run(topology, { transport, pool: fixedPool(adapters), engine: echoEngine() })
  return transport
}

test('topologies: every one that is shipped is tested here', () => {
  const shipped = readdirSync(new URL('../topologies', import.meta.url)).map(name => name.replace('.ts', ''))
  assert.deepEqual(shipped.filter(name => name !== 'config').toSorted(), Object.keys(topologies).toSorted())
})

function crash(): never {
  throw new Error('crash')
}

for (const [name, topology] of Object.entries(topologies)) {
  const each = name === 'compare' ? 2 : 1

  test(`topologies: ${name} answers every prompt, in order, and commits`, async () => {
    const prompts = Array.from({ length: 40 }, (_, index) => ({ text: `prompt ${index}`, id: `id-${index}` }))
    const transport = await answer(topology, prompts)
    const completions = await transport.read('completions', schemas.completion)
    assert.equal(completions.length, 40 * each)
    const first = completions.filter(({ id }) => !id.endsWith('mixture'))
    assert.deepEqual(
      (name === 'compare' ? first : completions).map(({ promptId }) => promptId),
      prompts.map(({ id }) => id),
    )
    assert.equal(new Set(completions.map(({ id }) => id)).size, 40 * each)
    assert.deepEqual([...new Set(completions.map(({ provenance }) => provenance.window.closedBy))], ['SIZE', 'END'])
    assert.equal(transport.topics.committed('prompts', 0), 40n)
    assert.deepEqual(transport.topics.records('prompts.dead'), [])
  })

  test(`topologies: ${name} dead-letters what is wrong, and answers the rest`, async () => {
    const prompts = [
      { text: 'good' },
      { text: 'no adapter', adapters: [{ id: 'gone' }] },
      { text: 'out of range', k: 0 },
      { text: 'refuse me' },
      { text: 'break the run' },
      { text: 'good too' },
    ]
    const transport = await answer(topology, prompts)
    const completions = await transport.read('completions', schemas.completion)
    assert.deepEqual([...new Set(completions.map(({ promptId }) => promptId))], ['prompts-0-0', 'prompts-0-5'])
    assert.equal(completions.length, 2 * each)
    const letters = transport.topics.records('prompts.dead').map(({ headers }) => {
      const facts = new Map(headers.map(([header, value]) => [header, new TextDecoder().decode(value)]))
      return ['offset', 'stage', 'code'].map(fact => facts.get(`__lorastream.errors.${fact}`)).join(' ')
    })
    assert.deepEqual(letters.toSorted(), [
      '1 retrieve ADAPTER_UNKNOWN',
      '2 decode SCHEMA_MISMATCH',
      '3 infer PROMPT_TOO_LONG',
      '4 infer STAGE_FAILED',
    ])
    assert.equal(transport.topics.committed('prompts', 0), 6n)
  })

  test(`topologies: ${name} loses nothing and repeats nothing when it crashes between windows`, async () => {
    const topics = new Topics()
    const prompts = Array.from({ length: 40 }, (_, index) => ({ text: `prompt ${index}` }))
    const first = open(topics)
    await first.produce('prompts', schemas.prompt, prompts)
    const resources = { transport: first, pool: fixedPool(adapters), engine: echoEngine() }
    await assert.rejects(run(topology, resources, { onReceipt: crash }), /crash/)
    assert.ok(topics.committed('prompts', 0) < 40n)
    assert.equal(BigInt(topics.records('completions').length), topics.committed('prompts', 0) * BigInt(each))
    const second = await answer(topology, [], open(topics))
    const completions = await second.read('completions', schemas.completion)
    assert.equal(completions.length, 40 * each)
    assert.equal(new Set(completions.map(({ id }) => id)).size, 40 * each)
  })
}

test('topologies: an engine that fails for good commits nothing without dead letters', async () => {
  const transport = memory({ codec: avro() })
  await transport.produce('prompts', schemas.prompt, [{ text: 'fine' }, { text: 'break the run' }])
  transport.topics.end('prompts')
  const resources = { transport, pool: fixedPool(adapters), engine: echoEngine() }
  await assert.rejects(run(mixture, resources), /offset 1 failed in infer \(STAGE_FAILED: the run broke\)/)
  assert.equal(transport.topics.committed('prompts', 0), 0n)
  assert.deepEqual(transport.topics.records('completions'), [])
})

const shapes: Readonly<Record<string, { strategy: string; shares: RegExp }>> = {
  selection: { strategy: 'SELECTION', shares: /^\[1\*a\]$/ },
  mixture: { strategy: 'MIXTURE', shares: /^\[0\.333\d+\*. \+ 0\.333\d+\*. \+ 0\.333\d+\*.\]$/ },
  // Four are there, and the test's pool knows of no confidence.
  adaptive: { strategy: 'MIXTURE', shares: /^\[(0\.25\*. \+ ){3}0\.25\*.\]$/ },
  fusion: { strategy: 'FUSION', shares: /^\[1\*\(.&.&.\)\]$/ },
}

for (const [name, { strategy, shares }] of Object.entries(shapes))
  test(`topologies: ${name} mixes as it says`, async () => {
    const transport = await answer(topologies[name] ?? mixture, [{ text: 'x' }])
    const [completion] = await transport.read('completions', schemas.completion)
    assert.equal(completion?.provenance.strategy, strategy)
    assert.match(completion.text.replace(/^x /, ''), shares)
    assert.ok(Math.abs(completion.provenance.adapters.reduce((sum, { weight }) => sum + weight, 0) - 1) < 1e-12)
  })

test('topologies: compare answers with both strategies, told apart by their ids', async () => {
  const transport = await answer(compare, [{ text: 'x' }])
  const completions = await transport.read('completions', schemas.completion)
  assert.deepEqual(
    completions.map(({ id, provenance }) => [id, provenance.strategy]),
    [
      ['prompts-0-0-selection', 'SELECTION'],
      ['prompts-0-0-mixture', 'MIXTURE'],
    ],
  )
})
