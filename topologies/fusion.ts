import { compose, defineTopology, infer, publish, retrieve, schemas, window } from 'lorastream'

/** Each prompt is answered by the mean of its three nearest adapters' parameters. */
export default defineTopology(({ transport, pool, engine }) =>
  transport
    .source('prompts', schemas.prompt)
    .pipe(
      window({ size: 16, ms: 50 }),
      retrieve(pool, { k: 3 }),
      compose('fusion'),
      infer(engine),
      publish(transport.sink('completions', schemas.completion)),
    ),
)
