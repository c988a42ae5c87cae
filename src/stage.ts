import { concatMap, from, type OperatorFunction } from 'rxjs'
import { GoneError, StageError, toErrorData, type ErrorData } from './errors.ts'
import type { Failed, Message, StageName, Window } from './events.ts'

/**
 * The operator under `retrieve`, `compose` and `infer`: works on one window at a time, in order, and times it. `work`
 * answers for every item, with the item one step further or with why it fails; it must be pure, because when it throws,
 * or answers for more or fewer items than there are, the window is tried again in halves until the events that cannot be
 * worked on stand alone. They become `failed`; but a GoneError ends the stream, for it is no event's fault. Each stage has its own queue, so window n+1 can be retrieved while window
 * n is inferred.
 */
export function stage<In extends Message<unknown>, Out extends Message<unknown>>(
  name: StageName,
  work: (items: readonly In[]) => Promise<readonly (Out | ErrorData)[]>,
): OperatorFunction<Window<In>, Window<Out>> {
  return concatMap(window => from(run(window)))

  async function run(window: Window<In>): Promise<Window<Out>> {
    const started = performance.now()
    const items: Out[] = []
    const failed: Failed[] = [...window.failed]
    const results = await isolate(window.items)
    for (const [index, message] of window.items.entries()) {
      const result = results[index]
      if (result === undefined) throw new Error(`stage ${name}: no result for item ${index}`)
      if (isErrorData(result)) failed.push({ message, stage: name, code: result.code, reason: result.message })
      else items.push(result)
    }
    return { ...window, items, failed, ms: { ...window.ms, [name]: performance.now() - started } }
  }

  async function isolate(items: readonly In[]): Promise<readonly (Out | ErrorData)[]> {
    if (items.length === 0) return []
    try {
      const results = await work(items)
      if (results.length === items.length) return results
      throw new StageError(`stage ${name}: ${results.length} results of ${items.length} items`)
    } catch (error) {
      if (error instanceof GoneError) throw error
      if (items.length === 1) return [toErrorData(error)]
      const half = Math.ceil(items.length / 2)
      return [...(await isolate(items.slice(0, half))), ...(await isolate(items.slice(half)))]
    }
  }
}

function isErrorData(result: Message<unknown> | ErrorData): result is ErrorData {
  return 'code' in result
}
