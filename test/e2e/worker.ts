import { setTimeout } from 'node:timers/promises'
import {
  avro,
  compose,
  defineTopology,
  env,
  infer,
  kafka,
  publish,
  retrieve,
  run,
  schemas,
  window,
  type Engine,
} from 'lorastream'
import { adapter, echoEngine, fixedPool } from '../support/fakes.ts'

/** An instance for trials: everything real but the model, which takes its time and answers with an echo. */
const name = env('TRIAL')
const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())

const echo = echoEngine()
const engine: Engine = {
  ...echo,
  async run(batch) {
    await setTimeout(30)
    return await echo.run(batch)
  },
}
const topology = defineTopology(({ transport, pool, engine: model }) =>
  transport
    .source(`${name}.prompts`, schemas.prompt)
    .pipe(
      window({ size: 16, ms: 20 }),
      retrieve(pool, { k: 2 }),
      compose('mixture'),
      infer(model),
      publish(transport.sink(`${name}.completions`, schemas.completion)),
    ),
)
const transport = kafka({
  brokers: env('KAFKA_BROKERS').split(','),
  group: name,
  codec: avro(),
  deadLetters: `${name}.dead`,
  sessionTimeoutMs: 2000,
  maxInFlight: 128,
})
await run(
  topology,
  { transport, pool: fixedPool(['a', 'b', 'c'].map(id => adapter(id))), engine },
  { signal: stop.signal },
)
