import { parseJsonObject, shown, type JsonObject } from '../../hf/json.ts'
import { metrics, type Metric } from './generation-metrics.ts'
import { eachLine, fail, filledIn, nameIn } from './labelled-lines.ts'

/** A prompt, the answer that it should get, and the adapter that was trained for it. */
export type Item = {
  /** In the file, from 1. */
  readonly line: number
  readonly adapter: string
  readonly cluster: string
  readonly metric: Metric
  readonly text: string
  readonly target: string
}

/**
 * The items of a JSON-lines file, `{adapter, cluster, metric: "em" | "rouge-l", text, target}` a line; what else stands there is
 * left alone. Blank lines are skipped.
 * @throws SchemaError naming file, line and field; TransportError for a file that cannot be read.
 */
export async function readItems(path: string): Promise<readonly Item[]> {
  const items: Item[] = []
  await eachLine(path, 'items', (where, bytes, line) => {
    items.push(toItem(where, line, parseJsonObject(where, bytes, fail)))
  })
  return items
}

function toItem(where: string, line: number, fields: JsonObject): Item {
  const metric = metrics.find(name => name === fields['metric'])
  if (metric === undefined)
    throw fail(
      `${where}: metric is ${shown(fields['metric'])}, expected ${metrics.map(name => `"${name}"`).join(' or ')}`,
    )
  return {
    line,
    adapter: nameIn(where, fields, 'adapter'),
    cluster: nameIn(where, fields, 'cluster'),
    metric,
    text: filledIn(where, fields, 'text', 'a text'),
    target: filledIn(where, fields, 'target', 'a text'),
  }
}

/** The first `limit` items of every adapter, in the order of the file. */
export function firstOfEach(items: readonly Item[], limit: number): readonly Item[] {
  const taken = new Map<string, number>()
  return items.filter(({ adapter }) => {
    const before = taken.get(adapter) ?? 0
    taken.set(adapter, before + 1)
    return before < limit
  })
}
