import { fromErrorData, StageError, type ErrorData } from '../../errors.ts'
import type { Output } from '../../events.ts'
import { onnxEngine, type OnnxEngine, type OnnxEngineOptions } from '../../infer/onnx-engine.ts'
import type { Bench } from './bench-case.ts'
import { figure, type Figure } from './result.ts'

/** The middle one, or the mean of the two in the middle; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other)
  const [low = Number.NaN, high = Number.NaN] = [
    sorted[Math.floor((sorted.length - 1) / 2)],
    sorted[Math.ceil((sorted.length - 1) / 2)],
  ]
  return (low + high) / 2
}

/** The value that `share` of all are not above, by nearest rank; NaN of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** What the work gave, and how long it took, in ms. */
export async function timed<Value>(
  work: () => Promise<Value>,
): Promise<{ readonly value: Value; readonly ms: number }> {
  const started = performance.now()
  const value = await work()
  return { value, ms: performance.now() - started }
}

/** Resident memory of this process now, with all its threads, in MB of a million bytes. */
export function rssMb(): number {
  return process.memoryUsage.rss() / 1e6
}

/** Resident memory now, and the most that it ever was. */
export function memoryFigures(): readonly Figure[] {
  const now = rssMb()
  // The kernel keeps the two in step only now and then.
  const peak = Math.max(now, (process.resourceUsage().maxRSS * 1024) / 1e6)
  return [figure('rssMb', now, 'MB', 'resident at the end'), figure('peakRssMb', peak, 'MB', 'resident at most')]
}

/** The engine that the options name, `options` before them. */
export async function openEngine(
  { choice, paths, terminal, signal }: Bench,
  options: OnnxEngineOptions = {},
): Promise<OnnxEngine> {
  signal.throwIfAborted()
  const { device, precision, template, threads, cache } = choice
  return await onnxEngine(paths.model, {
    device,
    template,
    cache,
    ...(precision !== undefined && { precision }),
    ...(threads !== undefined && { threads }),
    onProgress: (done, total) => terminal.progress(`converting the model: ${Math.round((100 * done) / total)} %`),
    ...options,
  })
}

/**
 * Every row's answer, which must have exactly `newTokens`: a row that failed or ended early would make the others look fast.
 * Throws what a row failed with.
 */
export function expectAnswers(outputs: readonly (Output | ErrorData)[], newTokens: number): void {
  for (const output of outputs) {
    if ('code' in output) throw fromErrorData(output)
    if (output.tokens.length !== newTokens)
      throw new StageError(`a row has ${output.tokens.length} new tokens, expected ${newTokens}`)
  }
}
