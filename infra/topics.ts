import { clusterFromEnvironment, env } from 'lorastream'
import { Kafka, logLevel } from 'kafkajs'
import { createTopics } from './set-up.ts'

// Creates the topics of the main job where they are not there yet. Takes the variables of "lorastream run".
const { brokers, ...access } = clusterFromEnvironment()
const admin = new Kafka({ brokers: [...brokers], ...access, logLevel: logLevel.ERROR }).admin()
await admin.connect()
try {
  const made = await createTopics(admin, {
    partitions: Number(env('PARTITIONS', '6')),
    replicas: Number(env('REPLICATION', '1')),
  })
  process.stdout.write(`created: ${made.join(', ') || 'nothing, all are there'}\n`)
} finally {
  await admin.disconnect()
}
