import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import kafkajs, { type AclEntry } from 'kafkajs'
import { firstValueFrom, take, toArray } from 'rxjs'
import { findSecuredBroker } from '../../infra/kafka.ts'
import { avro } from '../../src/codec/avro.ts'
import { TransportError } from '../../src/errors.ts'
import { kafka } from '../../src/transport/kafka.ts'
import { answerTo, note, texts } from '../contracts/transport-harness.ts'
import { openTopics, type Topics } from '../e2e/topics.ts'

// Named imports of these type-check and fail: the module does not export them so that Node can see it.
const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs

const user = { username: 'lorastream', password: 'not-printed' }
const broker = await findSecuredBroker(user)

/** What docs/kafka.md tells an administrator to allow. */
function acl(
  resourceType: AclEntry['resourceType'],
  resourceName: string,
  operation: AclEntry['operation'],
  prefixed = false,
): AclEntry {
  return {
    resourceType,
    resourceName,
    resourcePatternType: prefixed ? ResourcePatternTypes.PREFIXED : ResourcePatternTypes.LITERAL,
    principal: `User:${user.username}`,
    host: '*',
    operation,
    permissionType: AclPermissionTypes.ALLOW,
  }
}

const reading = [
  acl(AclResourceTypes.TOPIC, 'in', AclOperationTypes.READ),
  acl(AclResourceTypes.GROUP, 'secured', AclOperationTypes.READ, true),
  acl(AclResourceTypes.TRANSACTIONAL_ID, 'secured', AclOperationTypes.WRITE, true),
]
const writing = [
  acl(AclResourceTypes.TOPIC, 'out', AclOperationTypes.WRITE),
  acl(AclResourceTypes.TOPIC, 'in.dead', AclOperationTypes.WRITE),
]

if ('missing' in broker) test('kafka: a secured broker', { skip: broker.missing }, () => {})
else {
  const topics: Topics = await openTopics(broker.brokers)
  await topics.create(['in', 'out', 'in.dead'], 1)
  after(async () => {
    await topics.close()
    await broker.stop()
  })
  const value = await avro()('in', note).encode({ text: 'a' })

  const options = (group: string, mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512') => {
    const log: string[] = []
    const sasl = { mechanism, ...user }
    return {
      log,
      all: {
        brokers: broker.secured,
        group,
        codec: avro(),
        deadLetters: 'in.dead',
        sasl,
        log: (line: string) => void log.push(line),
      },
    }
  }

  test('kafka: a wrong password ends the source, and is not printed', async t => {
    const { all, log } = options('secured-wrong', 'scram-sha-256')
    const transport = kafka({ ...all, sasl: { ...all.sasl, password: 'guessed' } })
    t.after(() => transport.close())
    await assert.rejects(firstValueFrom(transport.source('in', note)), (error: unknown) => {
      assert.ok(error instanceof TransportError, String(error))
      assert.doesNotMatch([error.message, ...log].join(), /guessed/)
      return true
    })
  })

  test('kafka: what is not allowed yet is tried again, and goes on when it is', async t => {
    const { all, log } = options('secured-0', 'plain')
    await topics.append('in', [{ key: null, value, headers: [] }])
    const transport = kafka(all)
    t.after(() => transport.close())
    const messages = firstValueFrom(transport.source('in', note).pipe(take(1), toArray()))
    await until(() => log.some(line => /[Nn]ot authorized/.test(line)))
    await topics.admin.createAcls({ acl: reading })
    const [message] = await messages
    const settled = transport.sink('out', note).settle([answerTo(message)], [])
    await until(() => log.some(line => /a window cannot be committed.*[Nn]ot authorized/.test(line)))
    await topics.admin.createAcls({ acl: writing })
    await settled
    assert.equal((await topics.records('out')).length, 1)
    assert.deepEqual(await topics.records('in.dead'), [])
  })

  for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512'] as const)
    test(`kafka: ${mechanism} and no more rights than it takes`, async t => {
      await topics.admin.createAcls({ acl: [...reading, ...writing] })
      const { all, log } = options(`secured-${mechanism}`, mechanism)
      const transport = kafka(all)
      t.after(() => transport.close())
      await topics.append('in', [{ key: null, value, headers: [] }])
      const before = (await topics.records('out')).length
      const messages = await firstValueFrom(transport.source('in', note).pipe(take(2), toArray()))
      assert.deepEqual(texts(messages), ['a', 'a'])
      const [first, second] = messages
      assert.ok(second)
      const failed = { message: second, stage: 'infer', code: 'STAGE_FAILED', reason: 'no' } as const
      await transport.sink('out', note).settle([answerTo(first)], [failed])
      assert.equal((await topics.records('out')).length, before + 1)
      assert.doesNotMatch(log.join(), /not-printed/)
    })
}

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    assert.ok(tries < 600, 'not within 30 s')
    await setTimeout(50)
  }
}
