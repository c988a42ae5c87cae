import { avro, defineConfig, memory } from 'lorastream'
import { peftDirectory } from '../../src/adapters/peft-directory.ts'
import { openPool } from '../../src/retrieve/pool.ts'
import { echoEngine, hashEncoder } from './fakes.ts'

/** The shipped adapters under an engine and an encoder without a model: what the CLI does around them. */
export default defineConfig({
  transport: () => memory({ codec: avro() }),
  pool: () => openPool({ source: peftDirectory(process.env['TEST_ADAPTERS'] ?? 'adapters'), encoder: hashEncoder() }),
  engine: () => echoEngine(),
})
