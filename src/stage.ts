import { concatMap, from, type OperatorFunction } from 'rxjs'
import { toErrorData, type ErrorData } from './errors.ts'
import type { Failed, Message, StageName, Window } from './events.ts'

/**
 * The operator under `retrieve`, `compose` and `infer`: works on one window at a time, in order, and times it. `work`
 * answers for every item, with the item one step further or with why it fails; it must be pure, because when it throws
 * the window is tried again in halves until the events that cannot be worked on stand alone. They become `failed`.
 * Each stage has its own queue, so window n+1 can be retrieved while window n is inferred.
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
    for (const [index, result] of (await isolate(window.items)).entries()) {
      const message = window.items[index]
      if (message === undefined) throw new Error(`stage ${name}: more results than items`)
      if (isErrorData(result)) failed.push({ message, stage: name, code: result.code, reason: result.message })
      else items.push(result)
    }
    return { ...window, items, failed, ms: { ...window.ms, [name]: performance.now() - started } }
  }

  async function isolate(items: readonly In[]): Promise<readonly (Out | ErrorData)[]> {
    if (items.length === 0) return []
    try {
      return await work(items)
    } catch (error) {
      if (items.length === 1) return [toErrorData(error)]
      const half = Math.ceil(items.length / 2)
      return [...(await isolate(items.slice(0, half))), ...(await isolate(items.slice(half)))]
    }
  }
}

function isErrorData(result: Message<unknown> | ErrorData): result is ErrorData {
  return 'code' in result
}
