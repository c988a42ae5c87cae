import { env } from 'lorastream'
import { Kafka, logLevel } from 'kafkajs'

// Creates the topics of the main job where they are not there yet: `completions` with as many partitions as `prompts`, so that
// prompts without a key keep their order.
const partitions = Number(env('PARTITIONS', '6'))
const replicationFactor = Number(env('REPLICATION', '1'))
const admin = new Kafka({ brokers: env('KAFKA_BROKERS').split(','), logLevel: logLevel.ERROR }).admin()
await admin.connect()
try {
  const there = new Set(await admin.listTopics())
  const missing = ['prompts', 'completions', 'prompts.dead'].filter(topic => !there.has(topic))
  if (missing.length > 0)
    await admin.createTopics({
      waitForLeaders: true,
      topics: missing.map(topic => ({ topic, numPartitions: partitions, replicationFactor })),
    })
  process.stdout.write(`created: ${missing.join(', ') || 'nothing, all are there'}\n`)
} finally {
  await admin.disconnect()
}
