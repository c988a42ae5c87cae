import { createReadStream } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { SchemaError } from '../src/errors.ts'
import { parseJsonObject, shown, type Fail } from '../src/hf/json.ts'
import { lines } from '../src/transport/lines.ts'

const fail: Fail = (message, options) => new SchemaError(message, options)

/** A line with a prompt of a thousand tokens is far below this. */
const MAX_LINE_BYTES = 1024 * 1024

const metrics: Readonly<Record<string, string>> = { em: 'em', rougeL: 'rouge-l' }

/**
 * The zoo's test items, `{task, cluster, metric: "em" | "rougeL", prompt, target}` a line, as `evaluate generation` takes them.
 * Throws SchemaError naming the line and the field.
 */
export async function* zooItems(path: string): AsyncGenerator<Readonly<Record<string, string>>> {
  for await (const { number, bytes, problem } of lines(createReadStream(path), MAX_LINE_BYTES)) {
    const where = `${path} line ${number}`
    if (problem !== undefined) throw fail(`${where}: ${problem}`)
    const fields = parseJsonObject(where, bytes, fail)
    const text = (field: string): string => {
      const value = fields[field]
      if (typeof value === 'string') return value
      throw fail(`${where}: ${field} is ${shown(value)}, expected a string`)
    }
    const metric = metrics[text('metric')]
    if (metric === undefined) throw fail(`${where}: metric is ${shown(fields['metric'])}, expected em or rougeL`)
    yield { adapter: text('task'), cluster: text('cluster'), metric, text: text('prompt'), target: text('target') }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , path] = process.argv
  if (path === undefined) {
    process.stderr.write('usage: node --import tsx infra/zoo-items.ts ZOO/test.jsonl > items.jsonl\n')
    process.exitCode = 2
  } else for await (const item of zooItems(path)) process.stdout.write(`${JSON.stringify(item)}\n`)
}
