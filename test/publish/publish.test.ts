import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { firstValueFrom, from, of, toArray } from 'rxjs'
import { TransportError } from '../../src/errors.ts'
import type { Answered, Completion, Failed, Prompt, Window } from '../../src/events.ts'
import type { Settled, Sink } from '../../src/ports.ts'
import { publish } from '../../src/publish/publish.ts'
import { adapter, digestOf, echoEngine, message } from '../support/fakes.ts'

type Settlement = { readonly done: readonly Settled<Completion>[]; readonly failed: readonly Failed[] }

function notebook(): Sink<Completion> & { readonly settled: readonly Settlement[] } {
  const settled: Settlement[] = []
  return { settled, settle: async (done, failed) => void settled.push({ done, failed }) }
}

const used = [{ ...adapter('a', 4), weight: 0.5, score: 0.9 }].map(({ id, digest, rank, weight, score }) => ({
  id,
  digest,
  weight,
  score,
  rank,
}))

function windowOf(values: readonly Prompt[], failed: readonly Failed[] = []): Window<Answered> {
  const items = values.map((value, offset) => ({
    ...message(value, offset, 2),
    row: offset,
    queuedMs: 1,
    hits: [],
    pool: { epoch: 7, size: 9, encoder: { id: 'enc', digest: digestOf('enc') } },
    mix: [],
    strategy: 'MIXTURE' as const,
    used,
    output: { text: 'answer', tokens: [5, 6, 7], promptTokens: 4, finishReason: 'LENGTH' as const },
    engine: echoEngine().facts,
    distinctAdapters: 3,
  }))
  const ms = { retrieve: 1, compose: 2, infer: 3 }
  return { id: 'prompts-2-0.tag', closedBy: 'SIZE', size: items.length + failed.length, items, failed, ms }
}

test('publish: a completion says who answered, from what and how', async () => {
  const sink = notebook()
  const value = { id: 'mine', text: 'x', temperature: 0.7, seed: 11, metadata: { tenant: 'me' } }
  await firstValueFrom(of(windowOf([value])).pipe(publish(sink)))
  const completion = sink.settled[0]?.done[0]?.value
  assert.ok(completion)
  const { ms, lorastream, ...provenance } = completion.provenance
  assert.deepEqual(
    { ...completion, provenance },
    {
      id: 'prompts-2-0',
      promptId: 'mine',
      text: 'answer',
      finishReason: 'LENGTH',
      usage: { promptTokens: 4, completionTokens: 3 },
      metadata: { tenant: 'me' },
      tokens: [5, 6, 7],
      provenance: {
        strategy: 'MIXTURE',
        adapters: [{ id: 'a', digest: digestOf('a'), weight: 0.5, score: 0.9, rank: 4 }],
        pool: { epoch: 7, size: 9 },
        base: { id: 'echo-base', digest: digestOf('echo-base') },
        encoder: { id: 'enc', digest: digestOf('enc') },
        window: { id: 'prompts-2-0.tag', size: 1, row: 0, distinctAdapters: 3, closedBy: 'SIZE' },
        source: { topic: 'prompts', partition: 2, offset: 0, timestamp: 1000 },
        sampling: { temperature: 0.7, topP: 1, topK: 0, seed: 11 },
        engine: { name: 'echo', version: '1', device: 'cpu', precision: 'float32' },
      },
    },
  )
  assert.deepEqual([ms.retrieve, ms.compose, ms.infer], [1, 2, 3])
  assert.ok(ms.queue >= 0)
  const packageJson: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  assert.ok(typeof packageJson === 'object' && packageJson !== null && 'version' in packageJson)
  assert.equal(lorastream, packageJson.version)
})

test('publish: waiting is what the stages did not take of the time since the transport', async () => {
  const sink = notebook()
  const late = windowOf([{ text: 'x' }])
  const items = late.items.map(item => ({ ...item, receivedAt: performance.now() - 1000 }))
  await firstValueFrom(of({ ...late, items }).pipe(publish(sink)))
  const queue = sink.settled[0]?.done[0]?.value.provenance.ms.queue ?? 0
  assert.ok(queue >= 994 && queue < 1900, String(queue))
})

test('publish: ids come from the origin, so that a repetition is known, or from a function', async () => {
  const sink = notebook()
  const windows = [windowOf([{ text: 'x' }, { text: 'y' }]), windowOf([{ text: 'x' }, { text: 'y' }])]
  await firstValueFrom(from(windows).pipe(publish(sink), toArray()))
  const ids = sink.settled.map(({ done }) => done.map(({ value }) => [value.id, value.promptId]))
  assert.deepEqual(ids[0], [
    ['prompts-2-0', 'prompts-2-0'],
    ['prompts-2-1', 'prompts-2-1'],
  ])
  assert.deepEqual(ids[1], ids[0])
  await firstValueFrom(of(windowOf([{ text: 'x' }])).pipe(publish(sink, { id: item => `mine-${item.row}` })))
  assert.equal(sink.settled[2]?.done[0]?.value.id, 'mine-0')
})

test('publish: answers and failures are settled in one call, and the receipt counts them', async () => {
  const sink = notebook()
  const failed: Failed = { message: message({ text: 'z' }, 9), stage: 'infer', code: 'PROMPT_TOO_LONG', reason: 'long' }
  const receipt = await firstValueFrom(of(windowOf([{ text: 'x' }, { text: 'y' }], [failed])).pipe(publish(sink)))
  assert.equal(sink.settled.length, 1)
  assert.deepEqual(sink.settled[0]?.failed, [failed])
  const { ms, ...rest } = receipt
  assert.deepEqual(rest, { window: 'prompts-2-0.tag', closedBy: 'SIZE', answered: 2, failed: 1, newTokens: 6 })
  assert.ok((ms.publish ?? -1) >= 0)
})

test('publish: a settlement that fails ends the stream', async () => {
  const sink: Sink<Completion> = {
    settle: async () => {
      throw new TransportError('broker gone')
    },
  }
  await assert.rejects(firstValueFrom(of(windowOf([{ text: 'x' }])).pipe(publish(sink))), TransportError)
})
