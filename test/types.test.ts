import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  compose,
  infer,
  parsePrompt,
  publish,
  retrieve,
  schemas,
  window,
  type Answered,
  type Completion,
  type Engine,
  type Message,
  type Pool,
  type Prompt,
  type Schema,
  type Sink,
  type StrategyName,
  type Transport,
} from 'lorastream'
import { map, tap, type Observable } from 'rxjs'
import type { AdapterId } from '../src/lora.ts'
import { root } from './support/source.ts'

/** What a user adds to a prompt. */
type Tenant = Prompt & { readonly tenant: string }
const tenantSchema: Schema<Tenant> = {
  name: 'Tenant',
  avro: {},
  parse: value => ({ ...parsePrompt(value, ['tenant']), tenant: 'me' }),
}

/** Never called: it stands here to be compiled. Each pipeline is one line, so that the comment above is about it. */
export function pipelines(transport: Transport, pool: Pool, engine: Engine): readonly Observable<unknown>[] {
  const source = transport.source('prompts', schemas.prompt)
  const sink = transport.sink('completions', schemas.completion)
  const windows = source.pipe(window({ size: 1, ms: 1 }))
  const retrieved = windows.pipe(retrieve(pool))
  const composed = retrieved.pipe(compose('mixture'))
  const answered = composed.pipe(infer(engine))

  const tenants = transport.source('tenants', tenantSchema).pipe(window({ size: 1, ms: 1 }), retrieve(pool))
  const tenantAnswers = tenants.pipe(compose('fusion'), infer(engine))
  // A user's field reaches the end typed.
  const fields: Observable<string | undefined> = tenantAnswers.pipe(map(({ items }) => items[0]?.value.tenant))

  return [
    answered.pipe(publish(sink)),
    fields,
    // @ts-expect-error -- events are not windows
    source.pipe(retrieve(pool)),
    // @ts-expect-error -- a window is not an event
    windows.pipe(window({ size: 1, ms: 1 })),
    // @ts-expect-error -- nothing was retrieved
    windows.pipe(compose('mixture')),
    // @ts-expect-error -- nothing was composed
    retrieved.pipe(infer(engine)),
    // @ts-expect-error -- nothing was answered
    composed.pipe(publish(sink)),
    // @ts-expect-error -- no such strategy
    retrieved.pipe(compose('average')),
    // @ts-expect-error -- an engine is not a pool
    windows.pipe(retrieve(engine)),
    // @ts-expect-error -- a completion has no tenant
    answered.pipe(publish(transport.sink('tenants', tenantSchema))),
    // @ts-expect-error -- no such option
    source.pipe(window({ size: 1, ms: 1, maxAge: 5 })),
    // @ts-expect-error -- a window has no size
    source.pipe(window({ ms: 1 })),
    // @ts-expect-error -- other prompts have no tenant
    answered.pipe(tap(({ items }) => void items[0]?.value.tenant)),
    // @ts-expect-error -- events may not be changed
    source.pipe(map(message => (message.value.text = ''))),
  ]
}

/** Never called. */
export function values(
  completion: Completion,
  message: Message<Prompt>,
  answer: Answered,
  sink: Sink<Completion>,
): void {
  // @ts-expect-error -- a prompt's id is not an adapter's
  const id: AdapterId = message.value.id ?? ''
  // @ts-expect-error -- no such strategy
  const name: StrategyName = 'MIXTURE'
  // @ts-expect-error -- what is published is settled together with what failed
  void sink.settle([{ value: completion, message }])
  // @ts-expect-error -- an answer is not a completion
  void sink.settle([{ value: answer, message }], [])
  void [id, name]
}

test('types: pipelines in the wrong order, and other mistakes, do not compile; the right ones do', async () => {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const output = await new Promise<string>(resolve => {
    execFile(process.execPath, [tsc, '--noEmit', '-p', root], (error, stdout) => {
      // 1 and 2: it ran, and found something, in this file or in another.
      assert.ok(error === null || stdout.includes('error TS'), error?.message)
      resolve(stdout)
    })
  })
  assert.deepEqual(
    output.split('\n').filter(line => line.startsWith('test/types.test.ts')),
    [],
  )
})
