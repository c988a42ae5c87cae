import { avro, defineConfig } from 'lorastream'
import { kafkaFromEnvironment } from '../../src/cli/kafka-environment.ts'
import { adapter, echoEngine, fixedPool } from '../support/fakes.ts'

/** The cluster that the environment describes, as without a config, and an engine without a model. */
export default defineConfig({
  transport: () => kafkaFromEnvironment(avro()),
  pool: () => fixedPool(['a', 'b'].map(id => adapter(id))),
  engine: () => echoEngine(),
})
