import { createReadStream, createWriteStream, fstatSync, openSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { ConfigError, TransportError } from '../errors.ts'

/** A file, `-` for standard input or output, or a stream. */
export type Paths = {
  readonly input: string | Readable
  readonly output: string | Writable
  readonly deadLetters?: string | Writable
}

/** Something to write to, and whether it was opened here. */
type Target = { readonly name: string; readonly stream: Writable; readonly ours: boolean; gone: boolean }

/** The streams of a run over files. Files are opened at once, so that a wrong path costs no work. */
export class Files {
  /** The input's file name, or `stdin`. */
  readonly name: string
  readonly #input: Readable | undefined
  readonly #targets = new Map<'output' | 'deadLetters', Target>()

  /** Throws TransportError for a file that cannot be opened, ConfigError for one that would be read and written. */
  constructor({ input, output, deadLetters }: Paths) {
    if (output === deadLetters) throw new ConfigError('output and dead letters are the same, expected two files')
    this.name = typeof input === 'string' && input !== '-' ? basename(input) : 'stdin'
    this.#input = typeof input === 'string' ? openInput(input, [output, deadLetters]) : input
    try {
      this.#targets.set('output', openTarget(output))
      if (deadLetters !== undefined) this.#targets.set('deadLetters', openTarget(deadLetters))
    } catch (error) {
      this.#input?.destroy()
      this.#targets.get('output')?.stream.destroy()
      throw error
    }
  }

  /** The input's bytes, until it ends or `end` is aborted. Throws TransportError. */
  async *read(end: AbortSignal): AsyncGenerator<Buffer> {
    const stream = this.#input ?? process.stdin
    const stop = (): void => void stream.destroy()
    end.addEventListener('abort', stop)
    try {
      for await (const chunk of stream) yield toBuffer(chunk)
    } catch (error) {
      if (!end.aborted) throw new TransportError(`${this.name} cannot be read: ${reason(error)}`, { cause: error })
    } finally {
      end.removeEventListener('abort', stop)
    }
  }

  /**
   * Writes, and waits until it is written; nothing where there is no such file. False once the reader has gone away
   * (EPIPE). Throws TransportError.
   */
  async write(to: 'output' | 'deadLetters', text: string): Promise<boolean> {
    const target = this.#targets.get(to)
    if (target === undefined || text === '') return true
    if (target.gone) return false
    try {
      await new Promise<void>((resolve, reject) => {
        target.stream.write(text, error => (error ? reject(error) : resolve()))
      })
      return true
    } catch (error) {
      if (!isNodeError(error) || error.code !== 'EPIPE')
        throw new TransportError(`${target.name} cannot be written: ${reason(error)}`, { cause: error })
      target.gone = true
      return false
    }
  }

  /** Closes what was opened here. */
  async close(): Promise<void> {
    this.#input?.destroy()
    for (const { stream, ours } of this.#targets.values()) {
      // Every write was waited for, so an error here has been thrown before.
      if (ours) await new Promise<void>(resolve => stream.end(() => resolve()))
      stream.off('error', ignore)
    }
  }
}

function openInput(path: string, outputs: readonly (string | Writable | undefined)[]): Readable | undefined {
  // Touched when it is read: an open standard input keeps the process alive.
  if (path === '-') return undefined
  const fd = open(path, 'r')
  const stream = createReadStream(path, { fd })
  const { dev, ino } = fstatSync(fd)
  for (const output of outputs) {
    if (typeof output !== 'string' || output === '-') continue
    const found = statSync(output, { throwIfNoEntry: false })
    if (found?.dev !== dev || found.ino !== ino) continue
    stream.destroy()
    throw new ConfigError(`${output} is the input, expected another file to write to`)
  }
  return stream
}

function openTarget(to: string | Writable): Target {
  const ours = typeof to === 'string' && to !== '-'
  const name = typeof to !== 'string' ? 'the output' : ours ? to : 'stdout'
  const stream: Writable =
    typeof to !== 'string' ? to : ours ? createWriteStream(to, { fd: open(to, 'w') }) : process.stdout
  // A write's callback has the error; without a listener it would end the process as well.
  stream.on('error', ignore)
  return { name, stream, ours, gone: false }
}

function open(path: string, flags: 'r' | 'w'): number {
  try {
    return openSync(path, flags)
  } catch (error) {
    throw new TransportError(`${path} cannot be ${flags === 'r' ? 'read' : 'written'}: ${reason(error)}`, {
      cause: error,
    })
  }
}

function ignore(): void {}

function toBuffer(chunk: unknown): Buffer {
  if (chunk instanceof Uint8Array) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  return Buffer.from(String(chunk))
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function isNodeError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error
}
