import { createHash } from 'node:crypto'
import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { TransportError, fromErrorData, toErrorData } from '../../errors.ts'
import type { Composed } from '../../events.ts'
import { isObject } from '../../hf/json.ts'
import { toBatch } from '../../infer/batch.ts'
import { loraKey } from '../../lora.ts'
import type { Engine } from '../../ports.ts'
import { defaultMaxTokens } from '../../row.ts'
import type { PartChoice } from '../options.ts'

/** One greedy answer. */
export type Answer = { readonly text: string; readonly newTokens: number }

/** What was answered before, so that rows of a table that share mixes, and runs that were stopped, do not answer twice. */
export type AnswerStore = {
  get(key: string): Answer | undefined
  /** Kept at once, also on disk where the store has a file. Throws TransportError. */
  put(answers: ReadonlyMap<string, Answer>): Promise<void>
}

/**
 * A store in memory, or in a JSON-lines file that is read at the start and appended to. A line that was cut off, as by a
 * process that was killed while it wrote, is answered again.
 * @throws TransportError for a file that cannot be read.
 */
export async function openAnswers(path?: string): Promise<AnswerStore> {
  const known = new Map<string, Answer>()
  if (path !== undefined) for (const [key, answer] of await readAnswers(path)) known.set(key, answer)
  return {
    get: key => known.get(key),
    async put(answers) {
      for (const [key, answer] of answers) known.set(key, answer)
      if (path === undefined || answers.size === 0) return
      const text = [...answers].map(([key, answer]) => `${JSON.stringify({ key, ...answer })}\n`).join('')
      try {
        await mkdir(dirname(path), { recursive: true })
        await appendFile(path, text)
      } catch (error) {
        throw new TransportError(`${path} cannot be written: ${toErrorData(error).message}`, { cause: error })
      }
    },
  }
}

async function readAnswers(path: string): Promise<ReadonlyMap<string, Answer>> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw new TransportError(`${path} cannot be read: ${error.message}`, { cause: error })
  })
  const answers = new Map<string, Answer>()
  for (const line of text.split('\n')) {
    const value = parsed(line)
    if (!isObject(value)) continue
    const { key, text: answer, newTokens } = value
    if (typeof key === 'string' && typeof answer === 'string' && typeof newTokens === 'number')
      answers.set(key, { text: answer, newTokens })
  }
  return answers
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

/** How the engine makes a prompt of a text, where it is known. */
export type Template = PartChoice['template']

/** Everything that a greedy answer depends on: model, precision and version, template, prompt, length and mix. */
export function answerKey(
  { facts }: Engine,
  { value, mix }: Pick<Composed, 'value' | 'mix'>,
  template: Template = 'chat',
): string {
  const { base, name, version, device, precision } = facts
  const shares = mix.map(({ lora, weight }) => `${weight}(${loraKey(lora)})`).toSorted()
  const what = [base.digest, name, version, device, precision, String(lengthOf({ value })), value.text, ...shares]
  // Files of before have keys without a template: they are of the default.
  const key = template === 'chat' ? what : { template, what }
  return createHash('sha256').update(JSON.stringify(key)).digest('hex')
}

/** Time that answering took, and what came of it; stored answers take none. */
export type Pace = { readonly newTokens: number; readonly seconds: number }

export type AnswerOptions = {
  readonly window: number
  /** The engine's. Default `chat`. */
  readonly template?: Template
  /** Of the prompts that the store has not. */
  readonly onProgress: (done: number, total: number, pace: Pace) => void
  readonly signal: AbortSignal
}

/**
 * Answers every prompt, greedily and in at most its `maxTokens`, in windows of prompts of like length: a row's answer does
 * not depend on its window. What the store has is not computed again. A row that the engine refuses fails the evaluation.
 * @throws what the engine fails with; the signal's reason.
 */
export async function answerAll(
  prompts: readonly Composed[],
  engine: Engine,
  store: AnswerStore,
  { window, template, onProgress, signal }: AnswerOptions,
): Promise<{ readonly answers: readonly Answer[]; readonly pace: Pace }> {
  const keyed = prompts.map(prompt => ({ key: answerKey(engine, prompt, template), prompt }))
  const missing = byLength(keyed.filter(({ key }) => store.get(key) === undefined))
  const pace = { newTokens: 0, seconds: 0 }
  for (let start = 0; start < missing.length; start += window) {
    signal.throwIfAborted()
    onProgress(start, missing.length, pace)
    const part = missing.slice(start, start + window)
    const started = performance.now()
    const outputs = await engine.run(toBatch(part.map(({ prompt }) => prompt)))
    pace.seconds += (performance.now() - started) / 1000
    const fresh = new Map<string, Answer>()
    for (const [row, { key }] of part.entries()) {
      const output = outputs[row]
      if (output === undefined)
        throw new Error(`${engine.facts.name} answered ${outputs.length} of ${part.length} rows`)
      if ('code' in output) throw fromErrorData(output)
      fresh.set(key, { text: output.text, newTokens: output.tokens.length })
      pace.newTokens += output.tokens.length
    }
    await store.put(fresh)
  }
  return { answers: keyed.flatMap(({ key }) => store.get(key) ?? []), pace }
}

type Keyed = { readonly key: string; readonly prompt: Composed }

/** Each key once; those that may answer at like length together, and of these prompts of like length. */
function byLength(prompts: readonly Keyed[]): readonly Keyed[] {
  const distinct = [...new Map(prompts.map(one => [one.key, one])).values()]
  return distinct.toSorted(
    (one, other) =>
      Number(isShort(one)) - Number(isShort(other)) || one.prompt.value.text.length - other.prompt.value.text.length,
  )
}

/** A window runs until its last row is done. */
function isShort({ prompt }: Keyed): boolean {
  return lengthOf(prompt) <= SHORT_TOKENS
}

const SHORT_TOKENS = 16

function lengthOf({ value }: Pick<Composed, 'value'>): number {
  return value.maxTokens ?? defaultMaxTokens
}
