import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { defer, from, lastValueFrom, retry, toArray } from 'rxjs'
import { writing } from '../../src/publish/writing.ts'

/** Writes that end when they are told to. */
function writes(count: number) {
  const begun: { done(): void; fail(error: Error): void }[] = []
  const seen: unknown[] = []
  const write = (window: number) =>
    new Promise<number>((resolve, reject) => begun.push({ done: () => resolve(window), fail: reject }))
  const windows = Array.from({ length: count }, (_, at) => at)
  from(windows)
    .pipe(writing(write))
    .subscribe({ next: window => seen.push(window), error: (error: Error) => seen.push(error.message) })
  return { begun, seen }
}

test('writing: four windows at a time, and the next when one of them has been told', async () => {
  const { begun, seen } = writes(6)
  for (const [at, expected] of [4, 5, 6, 6, 6, 6].entries()) {
    await setImmediate()
    assert.equal(begun.length, expected)
    begun[at]?.done()
  }
  await setImmediate()
  assert.deepEqual(seen, [0, 1, 2, 3, 4, 5])
})

test('writing: whichever ends first, results come in the order of the windows', async () => {
  const { begun, seen } = writes(3)
  begun[2]?.done()
  begun[1]?.done()
  await setImmediate()
  assert.deepEqual(seen, [])
  begun[0]?.done()
  await setImmediate()
  assert.deepEqual(seen, [0, 1, 2])
})

test('writing: the first that fails ends the stream, and what the others come to is nobody’s', async () => {
  const { begun, seen } = writes(6)
  begun[0]?.done()
  begun[2]?.fail(new Error('broker gone'))
  await setImmediate()
  begun[1]?.fail(new Error('broker gone, too'))
  begun[3]?.done()
  await setImmediate()
  assert.deepEqual(seen, [0, 'broker gone'])
})

test('writing: whoever subscribes again after a failure begins anew', async () => {
  let attempts = 0
  const source = defer(() => from([(attempts += 1)]))
  const write = async (attempt: number): Promise<number> => {
    if (attempt === 1) throw new Error('broker gone')
    return attempt
  }
  assert.deepEqual(await lastValueFrom(source.pipe(writing(write), retry(3), toArray())), [2])
})
