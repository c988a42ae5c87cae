import { UnknownAdapterError } from '../../errors.ts'
import { parseJsonObject, shown, type JsonObject } from '../../hf/json.ts'
import { eachLine, fail, filledIn, MAX_NAME_LENGTH, nameIn } from './labelled-lines.ts'

/** A prompt and the adapter that it is for. */
export type LabelledPrompt = {
  readonly line: number
  readonly adapter: string
  readonly text: string
  readonly group?: string
  readonly exclude: readonly string[]
}

/** An adapter's samples, in the order of the file. */
export type SampleSet = ReadonlyMap<string, readonly string[]>

/** As many as a prompt may exclude. */
const MAX_EXCLUDED = 10_000

/**
 * Samples: `{adapter, text}` a line.
 * @throws SchemaError naming file, line and field; TransportError for a file that cannot be read.
 */
export async function readSampleSet(path: string): Promise<SampleSet> {
  const samples = new Map<string, string[]>()
  await eachLine(path, 'samples', (where, bytes) => {
    const fields = parseJsonObject(where, bytes, fail)
    const adapter = nameIn(where, fields, 'adapter')
    const text = filledIn(where, fields, 'text', 'a prompt of the task')
    const own = samples.get(adapter)
    if (own === undefined) samples.set(adapter, [text])
    else own.push(text)
  })
  return samples
}

/**
 * Labelled prompts: `{adapter, text}` a line, with an optional `group`, `exclude` and `id`; what else stands there is left alone.
 * A text may be empty.
 * @throws SchemaError naming file, line and field, also for an id that came before; UnknownAdapterError for an adapter
 * that `known` does not hold; TransportError for a file that cannot be read.
 */
export async function readLabelled(path: string, known: ReadonlySet<string>): Promise<readonly LabelledPrompt[]> {
  const prompts: LabelledPrompt[] = []
  const ids = new Set<unknown>()
  await eachLine(path, 'prompts', (where, bytes, line) => {
    const fields = parseJsonObject(where, bytes, fail)
    const { id, text } = fields
    if (id !== undefined && ids.has(id)) throw fail(`${where}: id ${shown(id)} came before, expected each once`)
    if (id !== undefined) ids.add(id)
    if (typeof text !== 'string') throw fail(`${where}: text is ${shown(text)}, expected a string`)
    const adapter = nameIn(where, fields, 'adapter')
    knownOr(where, adapter, known)
    const group = fields['group'] === undefined ? {} : { group: nameIn(where, fields, 'group') }
    prompts.push({ line, adapter, text, exclude: excludedIn(where, fields), ...group })
  })
  return prompts
}

/**
 * Ids, one a line.
 * @throws SchemaError for an id that came before; UnknownAdapterError for one that `known` does not hold;
 * TransportError for a file that cannot be read.
 */
export async function readIds(path: string, known: ReadonlySet<string>): Promise<ReadonlySet<string>> {
  const ids = new Set<string>()
  await eachLine(path, 'ids', (where, bytes) => {
    const id = Buffer.from(bytes).toString('utf8').trim()
    knownOr(where, id, known)
    if (ids.has(id)) throw fail(`${where}: "${id}" came before, expected each id once`)
    ids.add(id)
  })
  return ids
}

function knownOr(where: string, adapter: string, known: ReadonlySet<string>): void {
  if (!known.has(adapter))
    throw new UnknownAdapterError(
      `${where}: adapter "${adapter.slice(0, MAX_NAME_LENGTH)}" has no samples, expected one of the ${known.size} that have`,
    )
}

function excludedIn(where: string, fields: JsonObject): readonly string[] {
  const value = fields['exclude'] ?? []
  const isIds = (ids: unknown): ids is readonly string[] =>
    Array.isArray(ids) && ids.length <= MAX_EXCLUDED && ids.every(id => typeof id === 'string')
  if (!isIds(value)) throw fail(`${where}: exclude is ${shown(value)}, expected at most ${MAX_EXCLUDED} ids`)
  return value
}
