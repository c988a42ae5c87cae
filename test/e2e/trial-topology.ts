import { compose, defineTopology, env, infer, publish, retrieve, schemas, window } from 'lorastream'

/** The mixture topology on the topics of a trial. */
const name = env('TRIAL')

export default defineTopology(({ transport, pool, engine }) =>
  transport
    .source(`${name}.prompts`, schemas.prompt)
    .pipe(
      window({ size: 16, ms: 20 }),
      retrieve(pool, { k: 2 }),
      compose('mixture'),
      infer(engine),
      publish(transport.sink(`${name}.completions`, schemas.completion)),
    ),
)
