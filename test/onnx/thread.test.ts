import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AdapterError, GoneError, StageError } from '../../src/errors.ts'
import { openThread, type Thread } from '../../src/onnx/thread.ts'

type Echo = Thread<{ readonly data: unknown }, string, string>

const open = (data: unknown): Promise<Echo> => openThread('../support/echo-thread.ts', import.meta.url, data)

test('a thread says what it opened with, and answers each call with its own answer', async () => {
  const thread = await open({ some: 'data' })
  assert.deepEqual(thread.ready, { data: { some: 'data' } })
  assert.deepEqual(await Promise.all(['a', 'b', 'c'].map(text => thread.call(text))), ['a!', 'b!', 'c!'])
  await thread.close()
})

test('what the module throws keeps its class and its message, and costs one call', async () => {
  const thread = await open(1)
  const calls = ['a', 'throw', 'b'].map(text => thread.call(text))
  await assert.rejects(calls[1] ?? Promise.resolve(), error => {
    assert.ok(error instanceof AdapterError)
    assert.equal(error.message, 'bad request')
    return true
  })
  assert.deepEqual([await calls[0], await calls[2]], ['a!', 'b!'])
  await thread.close()
})

test('a module that cannot be opened, or is not there, fails the opening', async () => {
  await assert.rejects(
    open('fail'),
    (error: unknown) => error instanceof AdapterError && error.message === 'cannot open',
  )
  await assert.rejects(openThread('./nowhere.ts', import.meta.url, 1), GoneError)
})

test('a thread that dies fails the calls that are open and all later ones', async () => {
  const thread = await open(1)
  const calls = [thread.call('crash'), thread.call('a')]
  for (const call of calls) await assert.rejects(call, GoneError)
  await assert.rejects(thread.call('late'), /has ended/)
  await thread.close()
})

test('closing answers what was asked before, and refuses what is asked after', async () => {
  const thread = await open(1)
  const before = thread.call('a')
  const closing = Promise.all([thread.close(), thread.close()])
  await assert.rejects(thread.call('b'), StageError)
  assert.equal(await before, 'a!')
  await closing
})

test('a request that cannot be copied to the thread fails alone, and the thread ends as ever', async () => {
  const thread = await open(1)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what a caller in JavaScript may hand over
  await assert.rejects(thread.call((() => 'a') as unknown as string), { name: 'DataCloneError' })
  assert.equal(await thread.call('b'), 'b!')
  await thread.close()
})
