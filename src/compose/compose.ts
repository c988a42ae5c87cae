import type { OperatorFunction } from 'rxjs'
import { ConfigError, StageError, toErrorData, type ErrorData } from '../errors.ts'
import type { Composed, Prompt, Retrieved, StrategyName, Window } from '../events.ts'
import type { Compose, Composition } from '../ports.ts'
import { stage } from '../stage.ts'
import { strategies } from './strategies.ts'

/**
 * Turns every prompt's hits into its mix, by a strategy's name or by a function of your own; a prompt's `strategy` goes
 * before it. Throws ConfigError for a name that is none.
 */
export function compose<P extends Prompt>(
  strategy: StrategyName | Compose,
): OperatorFunction<Window<Retrieved<P>>, Window<Composed<P>>> {
  if (typeof strategy === 'string' && !Object.hasOwn(strategies, strategy))
    throw new ConfigError(`compose: strategy is "${strategy}", expected ${Object.keys(strategies).join(', ')}`)

  return stage('compose', async (items: readonly Retrieved<P>[]) => items.map(item => composed(item, strategy)))
}

/** Strategies know one prompt at a time, so one that throws costs only its prompt. */
function composed<P extends Prompt>(item: Retrieved<P>, byDefault: StrategyName | Compose): Composed<P> | ErrorData {
  const strategy = item.value.strategy ?? byDefault
  try {
    const composition = (typeof strategy === 'string' ? strategies[strategy] : strategy)(item.hits)
    return { ...item, ...checked(composition) }
  } catch (error) {
    return toErrorData(error)
  }
}

/** A strategy may be anybody's; a weight that is no number would spread through the whole batch. */
function checked(composition: Composition): Composition {
  const { mix, used } = composition
  const weights = [...mix, ...mix.flatMap(({ lora }) => lora), ...used].map(({ weight }) => weight)
  const wrong = weights.find(weight => !Number.isFinite(weight))
  if (wrong !== undefined) throw new StageError(`the strategy gave a weight of ${wrong}, expected a finite number`)
  return composition
}
