import { compose, defineTopology, infer, publish, retrieve, schemas, window } from 'lorastream'

/** Each prompt is answered by its own adapter where the pool surely has it, and the less sure, by a mixture of its eight nearest. */
export default defineTopology(({ transport, pool, engine }) =>
  transport
    .source('prompts', schemas.prompt)
    .pipe(
      window({ size: 16, ms: 50 }),
      retrieve(pool, { k: 8 }),
      compose('adaptive'),
      infer(engine),
      publish(transport.sink('completions', schemas.completion)),
    ),
)
