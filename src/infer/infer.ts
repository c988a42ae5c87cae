import type { OperatorFunction } from 'rxjs'
import { StageError } from '../errors.ts'
import type { Answered, Composed, Prompt, Window } from '../events.ts'
import type { Engine } from '../ports.ts'
import { stage } from '../stage.ts'
import { distinctAdapters, toBatch } from './batch.ts'

/**
 * Answers a window in one run of the engine. A row that the engine refuses fails alone; when a whole run fails, the window is
 * tried again in halves.
 */
export function infer<P extends Prompt>(engine: Engine): OperatorFunction<Window<Composed<P>>, Window<Answered<P>>> {
  return stage('infer', async (items: readonly Composed<P>[]) => {
    const batch = toBatch(items)
    const outputs = await engine.run(batch)
    const distinct = distinctAdapters(batch)
    return items.map((item, row) => {
      const output = outputs[row]
      if (output === undefined)
        throw new StageError(`${engine.facts.name} answered ${outputs.length} of ${items.length} rows`)
      return 'code' in output ? output : { ...item, output, engine: engine.facts, distinctAdapters: distinct }
    })
  })
}
