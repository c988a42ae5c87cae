import { compose, defineTopology, infer, publish, retrieve, schemas, window } from 'lorastream'

/** Each prompt is answered by its nearest adapter alone. */
export default defineTopology(({ transport, pool, engine }) =>
  transport
    .source('prompts', schemas.prompt)
    .pipe(
      window({ size: 16, ms: 50 }),
      retrieve(pool, { k: 1 }),
      compose('selection'),
      infer(engine),
      publish(transport.sink('completions', schemas.completion)),
    ),
)
