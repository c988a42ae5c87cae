import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { StageError } from '../../errors.ts'
import type { EngineFacts } from '../../events.ts'
import { onnxEncoder } from '../../retrieve/onnx-encoder.ts'
import { chooseParts } from '../parts.ts'
import { benchCommand, type Bench } from './bench-case.ts'
import { median, openEngine, timed } from './measure.ts'
import { figure } from './result.ts'

const MAX_REPEATS = 1000
const MAX_TOKENS = 131_072

/** Short in every template and tokenizer. */
const PROMPT = 'Write a sentence with: dog, ball, park'

type Settings = { readonly repeats: number; readonly newTokens: number }

export const load = benchCommand({
  name: 'load',
  opens: 'all',
  about: `How long everything takes to open: the base model with an empty cache, which converts it, and with
a warm one; the encoder; the pool without and with vectors in the cache; and "lorastream complete"
as a process of its own, from its start to the first answer on its stdout, with a warm cache.`,
  options: {
    repeats: ['N', 'how often each is opened, but for empty caches (default: 3)'],
    'new-tokens': ['N', 'new tokens at most of the first answer (default: 16)'],
  },
  prepare(given) {
    const settings = {
      repeats: given.integer('repeats', 1, MAX_REPEATS) ?? 3,
      newTokens: given.integer('new-tokens', 1, MAX_TOKENS) ?? 16,
    }
    return bench => measure(settings, bench)
  },
})

async function measure({ repeats, newTokens }: Settings, bench: Bench): Promise<void> {
  const { choice, paths, terminal, signal } = bench
  const cache = join(bench.folder, 'cache')
  const { open } = await chooseParts({ ...choice, ...paths, cache }, terminal)
  const openAndClose = async <Part extends { close(): Promise<void> }>(
    what: string,
    work: () => Promise<Part>,
  ): Promise<{ readonly ms: number; readonly part: Part }> => {
    signal.throwIfAborted()
    terminal.progress(`opening the ${what} …`)
    const { value: part, ms } = await timed(work)
    await part.close()
    return { ms, part }
  }
  const often = async (work: () => Promise<{ readonly ms: number }>): Promise<number> => {
    const found: number[] = []
    for (let repeat = 0; repeat < repeats; repeat += 1) found.push((await work()).ms)
    return median(found)
  }

  const cold = await openAndClose('model, with an empty cache', () => openEngine(bench, { cache }))
  const modelMs = await often(() => openAndClose('model', () => openEngine(bench, { cache })))
  const encoderMs = await often(() => openAndClose('encoder', () => onnxEncoder(paths.encoder)))
  const coldPool = await openAndClose('pool, with an empty cache', () => open.pool())
  const poolMs = await often(() => openAndClose('pool', () => open.pool()))

  const children: { readonly firstMs: number; readonly endMs: number }[] = []
  for (let repeat = 1; repeat <= repeats; repeat += 1) {
    terminal.progress(`complete, ${repeat} of ${repeats}`)
    children.push(await firstAnswer(argumentsOf(bench, cache, cold.part.facts), newTokens, signal))
  }
  await bench.report({
    case: 'load',
    engine: cold.part.facts,
    parameters: { repeats, newTokens, runs: import.meta.url.endsWith('.ts') ? 'from source' : 'built' },
    figures: [
      figure(
        'firstAnswerMs',
        median(children.map(one => one.firstMs)),
        'ms',
        'start of "complete" to its first answer, median',
      ),
      figure('completeMs', median(children.map(one => one.endMs)), 'ms', 'start of "complete" to its end'),
      figure('modelMs', modelMs, 'ms', 'base model, warm cache'),
      figure('modelColdMs', cold.ms, 'ms', 'base model, empty cache: converted once'),
      figure('encoderMs', encoderMs, 'ms', 'encoder'),
      figure('poolMs', poolMs, 'ms', 'encoder and adapters, vectors in the cache'),
      figure('poolColdMs', coldPool.ms, 'ms', 'encoder and adapters, every sample encoded'),
    ],
  })
}

/** The options that open the same parts in another process. */
function argumentsOf({ choice, paths }: Bench, cache: string, { precision }: EngineFacts): readonly string[] {
  const { index, device, template, threads } = choice
  const options = { ...paths, index, device, template, precision, cache, ...(threads !== undefined && { threads }) }
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
}

/** Asks this very command line, in a process of its own, one prompt. */
async function firstAnswer(
  args: readonly string[],
  maxTokens: number,
  signal: AbortSignal,
): Promise<{ readonly firstMs: number; readonly endMs: number }> {
  const [, script = ''] = process.argv
  const started = performance.now()
  const child = spawn(process.execPath, [...process.execArgv, script, 'complete', ...args], { signal })
  const failed = once(child, 'error').then(([error]) => {
    throw error
  })
  let firstMs = Number.NaN
  let said = ''
  child.stdout.once('data', () => (firstMs = performance.now() - started))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  child.stdin.end(`${JSON.stringify({ text: PROMPT, maxTokens })}\n`)
  await Promise.race([once(child, 'close'), failed])
  if (child.exitCode !== 0 || Number.isNaN(firstMs))
    throw new StageError(`complete ended with ${child.exitCode ?? child.signalCode}: ${said.trim().slice(-500)}`)
  return { firstMs, endMs: performance.now() - started }
}
