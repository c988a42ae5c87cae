import { compose } from '../../compose/compose.ts'
import { concatMap } from 'rxjs'
import { fromErrorData, StageError } from '../../errors.ts'
import type { Completion, Receipt } from '../../events.ts'
import { infer } from '../../infer/infer.ts'
import { publish } from '../../publish/publish.ts'
import { writing } from '../../publish/writing.ts'
import type { Engine, Pool } from '../../ports.ts'
import { retrieve } from '../../retrieve/retrieve.ts'
import { originId, toRow } from '../../row.ts'
import { schemas } from '../../schemas.ts'
import { defineTopology, run, type Topology } from '../../topology.ts'
import { kafka } from '../../transport/kafka.ts'
import { window } from '../../window/window.ts'
import type { Cluster, Pair } from './transport-topics.ts'

/** Milliseconds after which a window that does not fill closes; the last of a run has to wait for it. */
const WINDOW_MS = 50

export type Delivery = 'at-least-once' | 'exactly-once'

/** What reads prompts and writes completions until it is stopped; tells how many events it has committed. */
export type Loop = (topics: Pair, told: Told) => Promise<{ stop(): Promise<void> }>
export type Told = {
  readonly committed: (events: number, receipt?: Receipt) => void
  readonly failed: (error: unknown) => void
}

type Parts = { readonly pool: Pool; readonly engine: Engine }

/** A topology on topics of any name. */
type TopologyOf = (topics: Pair, size: number) => Topology

/** The five stages, a mixture of three for every prompt. */
export const fiveStages: TopologyOf = ({ prompts, completions }, size) =>
  defineTopology(({ transport, pool, engine }) =>
    transport
      .source(prompts, schemas.prompt)
      .pipe(
        window({ size, ms: WINDOW_MS }),
        retrieve(pool),
        compose('mixture'),
        infer(engine),
        publish(transport.sink(completions, schemas.completion)),
      ),
  )

/** The transport and the engine alone: nothing is retrieved or mixed, and every completion is `like` this one. */
export function engineAlone(like: Completion): TopologyOf {
  return ({ prompts, completions }, size) =>
    defineTopology(({ transport, engine }) => {
      const sink = transport.sink(completions, schemas.completion)
      return transport.source(prompts, schemas.prompt).pipe(
        window({ size, ms: WINDOW_MS }),
        concatMap(async ({ items, ...rest }) => {
          const outputs = await engine.run({ rows: items.map(toRow), stack: [], mapping: items.map(() => []) })
          const done = items.map((message, row) => {
            const output = outputs[row]
            if (output === undefined)
              throw new StageError(`${engine.facts.name} answered ${outputs.length} of ${items.length} rows`)
            if ('code' in output) throw fromErrorData(output)
            return { message, value: { ...like, promptId: originId(message.origin), text: output.text } }
          })
          return { ...rest, done }
        }),
        writing(async ({ id, closedBy, size: answered, done, ms }) => {
          await sink.settle(done, [])
          return { window: id, closedBy, answered, failed: 0, newTokens: 0, ms }
        }),
      )
    })
}

/** A topology on our transport. */
export function lorastreamLoop(
  cluster: Cluster,
  delivery: Delivery,
  size: number,
  { pool, engine }: Parts,
  topologyOf: TopologyOf = fiveStages,
): Loop {
  return async (topics, { committed, failed }) => {
    const transport = kafka({
      ...cluster.connect,
      group: cluster.fresh(delivery),
      codec: cluster.codec,
      delivery,
      maxInFlight: Math.max(256, 4 * size),
    })
    const stop = new AbortController()
    const keep = { close: async () => {} }
    const running = run(
      topologyOf(topics, size),
      { transport, pool: { retrieve: queries => pool.retrieve(queries), ...keep }, engine: { ...engine, ...keep } },
      { signal: stop.signal, onReceipt: receipt => committed(receipt.answered, receipt) },
    ).catch(failed)
    return {
      async stop() {
        stop.abort()
        await running
      },
    }
  }
}

/** What a bare loop answers to the bytes of a prompt. */
export type Answer = (prompt: Buffer | null) => Buffer | Promise<Buffer>

/**
 * What somebody would write on kafkajs by hand: reads batches, sends `size` answers at a time, commits the position behind
 * them. Producer and consumer are set as our transport sets them.
 */
export function bareLoop(cluster: Cluster, delivery: Delivery, size: number, answer: Answer): Loop {
  const { kafka: client, partitions } = cluster
  return async ({ prompts, completions }, { committed, failed }) => {
    const group = cluster.fresh(`bare-${delivery}`)
    const consumer = client.consumer({ groupId: group, maxWaitTimeInMs: 100 })
    const exactly = delivery === 'exactly-once'
    // One transaction at a time is all that a producer does, so a partition has its own.
    const producers = Array.from({ length: exactly ? partitions : 1 }, (_, partition) =>
      client.producer({
        maxInFlightRequests: 1,
        ...(exactly && { transactionalId: `${group}-${partition}` }),
      }),
    )
    await Promise.all([consumer.connect(), ...producers.map(producer => producer.connect())])
    await consumer.subscribe({ topics: [prompts], fromBeginning: true })
    consumer.on('consumer.crash', ({ payload }) => {
      if (!payload.restart) failed(payload.error)
    })
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: partitions,
      eachBatch: async payload => {
        const { partition, messages } = payload.batch
        const producer = producers[exactly ? partition : 0]
        for (let at = 0; at < messages.length && payload.isRunning(); at += size) {
          const some = messages.slice(at, at + size)
          const last = some.at(-1)?.offset ?? '0'
          const answers: { readonly key: Buffer | null; readonly value: Buffer }[] = []
          for (const { key, value } of some) answers.push({ key, value: await answer(value) })
          const topicMessages = [{ topic: completions, messages: answers }]
          const offset = String(BigInt(last) + 1n)
          if (exactly) {
            const transaction = await producer?.transaction()
            await transaction?.sendBatch({ topicMessages })
            const offsets = [{ topic: prompts, partitions: [{ partition, offset }] }]
            await transaction?.sendOffsets({ consumerGroupId: group, topics: offsets })
            await transaction?.commit()
          } else {
            await producer?.sendBatch({ topicMessages })
            await consumer.commitOffsets([{ topic: prompts, partition, offset }])
          }
          payload.resolveOffset(last)
          committed(some.length)
        }
      },
    })
    return {
      async stop() {
        await consumer.disconnect()
        await Promise.all(producers.map(producer => producer.disconnect()))
      },
    }
  }
}
