import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { turns } from '../../src/transport/turns.ts'

test('turns: one after the other in the order of the calls; what waits behind a failure fails with it', async () => {
  const turn = turns()
  const log: string[] = []
  const work =
    (name: string, waits: number, fails = false) =>
    async (): Promise<string> => {
      log.push(`${name} begins`)
      for (let wait = 0; wait < waits; wait += 1) await setImmediate()
      log.push(`${name} ends`)
      if (fails) throw new Error(name)
      return name
    }
  const done = await Promise.allSettled([turn(work('a', 3)), turn(work('b', 2, true)), turn(work('c', 0))])
  assert.deepEqual(log, ['a begins', 'a ends', 'b begins', 'b ends'])
  assert.deepEqual(
    done.map(one => (one.status === 'fulfilled' ? one.value : String(one.reason))),
    ['a', 'Error: b', 'Error: b'],
  )
  assert.equal(await turn(work('d', 1)), 'd')
})
