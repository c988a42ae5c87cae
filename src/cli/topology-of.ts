import { compose } from '../compose/compose.ts'
import { infer } from '../infer/infer.ts'
import { publish } from '../publish/publish.ts'
import { retrieve } from '../retrieve/retrieve.ts'
import { schemas } from '../schemas.ts'
import { defineTopology, type Topology } from '../topology.ts'
import { window } from '../window/window.ts'
import type { TopologyChoice } from './options.ts'

/** The shipped topologies' five stages, as the command line has them. */
export function topologyOf({ strategy, k, minScore, window: bounds }: TopologyChoice): Topology {
  const retrieval = { k: strategy === 'base' ? 0 : k, ...(minScore === undefined ? {} : { minScore }) }
  return defineTopology(({ transport, pool, engine }) =>
    transport
      .source('prompts', schemas.prompt)
      .pipe(
        window(bounds),
        retrieve(pool, retrieval),
        compose(strategy),
        infer(engine),
        publish(transport.sink('completions', schemas.completion)),
      ),
  )
}
