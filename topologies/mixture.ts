import { compose, defineTopology, infer, publish, retrieve, schemas, window } from 'lorastream'

/** Each prompt is answered by its three nearest adapters, their outputs averaged. */
export default defineTopology(({ transport, pool, engine }) =>
  transport
    .source('prompts', schemas.prompt)
    .pipe(
      window({ size: 16, ms: 50 }),
      retrieve(pool, { k: 3 }),
      compose('mixture'),
      infer(engine),
      publish(transport.sink('completions', schemas.completion)),
    ),
)
