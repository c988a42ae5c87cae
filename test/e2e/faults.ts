import { parseArgs } from 'node:util'
import { findBroker } from '../../infra/kafka.ts'
import { openTopics } from './topics.ts'
import { dice, faults, trial, type Fault } from './trial.ts'

// node … test/e2e/faults.ts [--trials N] [--seed S] [--faults kill,stop,…]: a line of JSON for each trial, exit 1 when one
// lost, duplicated, disordered or wrongly dead-lettered anything.
const { values } = parseArgs({
  options: { trials: { type: 'string' }, seed: { type: 'string' }, faults: { type: 'string' } },
})
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e6))
const kinds = faults.filter((kind): kind is Fault => values.faults?.split(',').includes(kind) ?? true)

const broker = await findBroker()
if ('missing' in broker) throw new Error(broker.missing)
const topics = await openTopics(broker.brokers)
try {
  for (let number = 0; number < Number(values.trials ?? 1); number++) {
    const started = Date.now()
    const tally = await trial(`trial-${seed + number}`, broker, topics, kinds, dice(seed + number))
    const line = { seed: seed + number, faults: kinds, ...tally, seconds: Math.round((Date.now() - started) / 1000) }
    process.stdout.write(`${JSON.stringify(line)}\n`)
    if (tally.lost + tally.duplicated + tally.outOfOrder + tally.wronglyDead > 0) process.exitCode = 1
  }
} finally {
  await topics.close()
  await broker.stop()
}
