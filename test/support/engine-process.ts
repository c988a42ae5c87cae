import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { ErrorData } from '../../src/errors.ts'
import type { Output } from '../../src/events.ts'
import type { OnnxEngineOptions } from '../../src/infer/onnx-engine.ts'
import type { Batch } from '../../src/ports.ts'

/** Batches for an engine in a process of its own, one after the other. */
export type EngineJob = {
  readonly path: string
  readonly options: Omit<OnnxEngineOptions, 'onProgress'>
  readonly batches: readonly Batch[]
}

export type EngineAnswers = {
  /** A batch's outputs for each batch. */
  readonly outputs?: readonly (readonly (Output | ErrorData)[])[]
  /** Why there are none. */
  readonly error?: ErrorData
  /** How often a timer of 10 ms fired meanwhile in the process's main thread. */
  readonly ticks: number
}

export type Ended = { readonly status: number | null; readonly stdout: string; readonly stderr: string }

/** Runs a script of test/support with more environment, `input` on its stdin. */
export async function runScript(name: string, env: Readonly<Record<string, string>>, input: string): Promise<Ended> {
  const script = fileURLToPath(new URL(name, import.meta.url))
  const child = spawn(process.execPath, ['--conditions=source', '--import', 'tsx', script], {
    env: { ...process.env, ...env, NODE_TEST_CONTEXT: '' },
  })
  child.stdin.end(input)
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { status: child.exitCode, stdout, stderr }
}

/** The answers of an engine in a process that is started with more environment. */
export async function answersOf(job: EngineJob, env: Readonly<Record<string, string>>): Promise<EngineAnswers> {
  const { status, stdout, stderr } = await runScript('engine-answers.ts', env, JSON.stringify(job))
  if (status !== 0) throw new Error(`the engine's process ended with ${status}: ${stderr}`)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- engine-answers.ts writes it
  return JSON.parse(stdout) as EngineAnswers
}
