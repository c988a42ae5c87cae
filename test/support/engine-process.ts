import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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

/**
 * Runs a script of test/support with more environment, `input` on its stdin. What it says goes to files: Node makes a
 * pipe non-blocking, and ONNX Runtime writes no more of its log once a full one has refused a line.
 */
export async function runScript(name: string, env: Readonly<Record<string, string>>, input: string): Promise<Ended> {
  const script = fileURLToPath(new URL(name, import.meta.url))
  const folder = await mkdtemp(join(tmpdir(), 'lorastream-script-'))
  const paths = [join(folder, 'stdout'), join(folder, 'stderr')] as const
  const [out, err] = await Promise.all([open(paths[0], 'w'), open(paths[1], 'w')])
  try {
    const child = spawn(process.execPath, ['--conditions=source', '--import', 'tsx', script], {
      env: { ...process.env, ...env, NODE_TEST_CONTEXT: '' },
      stdio: ['pipe', out.fd, err.fd],
    })
    child.stdin?.end(input)
    await once(child, 'close')
    const [stdout, stderr] = await Promise.all([readFile(paths[0], 'utf8'), readFile(paths[1], 'utf8')])
    return { status: child.exitCode, stdout, stderr }
  } finally {
    await Promise.all([out.close(), err.close()])
    await rm(folder, { recursive: true })
  }
}

/** The answers of an engine in a process that is started with more environment. */
export async function answersOf(job: EngineJob, env: Readonly<Record<string, string>>): Promise<EngineAnswers> {
  const { status, stdout, stderr } = await runScript('engine-answers.ts', env, JSON.stringify(job))
  if (status !== 0) throw new Error(`the engine's process ended with ${status}: ${stderr}`)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- engine-answers.ts writes it
  return JSON.parse(stdout) as EngineAnswers
}
