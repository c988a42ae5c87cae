import { createReadStream } from 'node:fs'
import { SchemaError, TransportError, toErrorData } from '../../errors.ts'
import { parseJsonObject, shown, type Fail, type JsonObject } from '../../hf/json.ts'
import { lines } from '../../transport/lines.ts'
import { metrics, type Metric } from './generation-metrics.ts'

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

/** A prompt and a target of a few thousand words. */
const MAX_LINE_BYTES = 1024 * 1024
/** Every item is a generation or several; this many take days. */
const MAX_ITEMS = 1_000_000
/** A cluster is a heading of the report. */
const MAX_NAME_LENGTH = 128

const fail: Fail = (message, options) => new SchemaError(message, options)

/**
 * The items of a JSON-lines file, `{adapter, cluster, metric: "em" | "rouge-l", text, target}` a line; what else stands there is
 * left alone. Blank lines are skipped.
 * @throws SchemaError naming file, line and field; TransportError for a file that cannot be read.
 */
export async function readItems(path: string): Promise<readonly Item[]> {
  const items: Item[] = []
  try {
    for await (const { number, bytes, problem } of lines(createReadStream(path), MAX_LINE_BYTES)) {
      const where = `${path} line ${number}`
      if (problem !== undefined) throw fail(`${where}: ${problem}`)
      if (items.length === MAX_ITEMS) throw fail(`${where}: expected at most ${MAX_ITEMS} items`)
      items.push(toItem(where, number, parseJsonObject(where, bytes, fail)))
    }
  } catch (error) {
    if (error instanceof SchemaError) throw error
    throw new TransportError(`${path} cannot be read: ${toErrorData(error).message}`, { cause: error })
  }
  if (items.length === 0) throw fail(`${path}: no items, expected one a line`)
  return items
}

function toItem(where: string, line: number, fields: JsonObject): Item {
  const metric = metrics.find(name => name === fields['metric'])
  if (metric === undefined)
    throw fail(
      `${where}: metric is ${shown(fields['metric'])}, expected ${metrics.map(name => `"${name}"`).join(' or ')}`,
    )
  const target = filled(where, fields, 'target')
  return {
    line,
    adapter: nameIn(where, fields, 'adapter'),
    cluster: nameIn(where, fields, 'cluster'),
    metric,
    text: filled(where, fields, 'text'),
    target,
  }
}

function nameIn(where: string, fields: JsonObject, field: string): string {
  const value = filled(where, fields, field)
  if (value.length > MAX_NAME_LENGTH)
    throw fail(`${where}: ${field} has ${value.length} characters, expected at most ${MAX_NAME_LENGTH}`)
  return value
}

function filled(where: string, fields: JsonObject, field: string): string {
  const value = fields[field]
  if (typeof value !== 'string' || value.trim() === '')
    throw fail(`${where}: ${field} is ${value === '' ? 'empty' : shown(value)}, expected a text`)
  return value
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
