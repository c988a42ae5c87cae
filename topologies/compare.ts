import {
  compose,
  defineTopology,
  infer,
  publish,
  retrieve,
  schemas,
  window,
  type Answered,
  type StrategyName,
  type Window,
} from 'lorastream'
import { map, share, zip } from 'rxjs'

/** Each prompt is answered twice, by its nearest adapter and by a mixture of three; both answers are published together. */
export default defineTopology(({ transport, pool, engine }) => {
  const retrieved = transport
    .source('prompts', schemas.prompt)
    .pipe(window({ size: 16, ms: 50 }), retrieve(pool, { k: 3 }), share())
  const answered = (strategy: StrategyName) => retrieved.pipe(compose(strategy), infer(engine))

  return zip(answered('selection'), answered('mixture')).pipe(
    map(([selection, mixture]) => both(selection, mixture)),
    publish(transport.sink('completions', schemas.completion), {
      id: ({ origin, strategy }) => `${origin.topic}-${origin.partition}-${origin.offset}-${strategy.toLowerCase()}`,
    }),
  )
})

/** An event must be settled once, so its two answers travel in one window. Where both failed, one dead letter will do. */
function both(one: Window<Answered>, other: Window<Answered>): Window<Answered> {
  const slower = (one.ms.infer ?? 0) > (other.ms.infer ?? 0) ? one : other
  const failed = new Set(one.failed.map(({ message }) => message.origin))
  return {
    ...slower,
    items: [...one.items, ...other.items],
    failed: [...one.failed, ...other.failed.filter(({ message }) => !failed.has(message.origin))],
  }
}
