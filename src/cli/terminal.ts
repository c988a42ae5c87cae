import { once } from 'node:events'

/** Where a command prints: data on stdout, everything else on stderr. */
export type Terminal = {
  /** Whether somebody watches stderr: progress is for them alone. */
  readonly interactive: boolean
  /** Columns of stdout, 80 to 100; 80 where it is no terminal. */
  readonly width: number
  readonly paint: Paint
  /** Data: waits while the reader is slow. */
  print(text: string): Promise<void>
  /** A remark, on stderr. */
  note(text: string): void
  /** A remark that the next one replaces; nothing where nobody watches. */
  progress(text: string): void
  /** Aborted at the first SIGINT or SIGTERM, so that work can be drained; the second ends the process. */
  stopping(): AbortSignal
}

/** Colours for stdout; the text as it is where stdout is no terminal, or where NO_COLOR is set. */
export type Paint = Readonly<Record<keyof typeof codes, (text: string) => string>>

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 }

/** The process's own streams. */
export function terminal(): Terminal {
  const { stdout, stderr } = process
  stderr.on('error', leave)
  // `hasColors` minds NO_COLOR, FORCE_COLOR and TERM.
  const coloured = stdout.isTTY && stdout.hasColors()
  let progressing = false
  let guarded = false

  return {
    interactive: stderr.isTTY,
    width: Math.min(100, Math.max(80, stdout.isTTY ? stdout.columns : 80)),
    paint: paint(coloured),
    async print(text) {
      clear()
      // Only here: a transport that writes to stdout sees to its own errors.
      if (!guarded) stdout.on('error', leave)
      guarded = true
      if (!stdout.write(`${text}\n`)) await once(stdout, 'drain')
    },
    note(text) {
      clear()
      stderr.write(`${text}\n`)
    },
    progress(text) {
      if (!stderr.isTTY) return
      clear()
      stderr.write(text.slice(0, (stderr.columns || 80) - 1))
      progressing = true
    },
    stopping() {
      const controller = new AbortController()
      for (const name of ['SIGINT', 'SIGTERM'] as const)
        process.on(name, () => {
          if (controller.signal.aborted) {
            dieOf(name)
            return
          }
          process.exitCode = name === 'SIGINT' ? 130 : 143
          controller.abort()
        })
      return controller.signal
    },
  }

  function clear(): void {
    if (progressing) stderr.write('\r\x1b[K')
    progressing = false
  }
}

/**
 * As if nobody had listened to the signal: process.exit would wait for a forward pass, only to be aborted by it. The first
 * process of a container cannot die of a signal, so there it exits all the same.
 */
export function dieOf(name: 'SIGINT' | 'SIGTERM'): void {
  process.removeAllListeners(name)
  process.kill(process.pid, name)
  if (process.pid === 1) process.exit(name === 'SIGINT' ? 130 : 143)
}

/** A reader that has seen enough (`| head`) is no error; a full disk is. */
function leave({ code, message }: NodeJS.ErrnoException): never {
  if (code === 'EPIPE') process.exit(0)
  process.stderr.write(`TRANSPORT_FAILED: stdout cannot be written: ${message}\n`)
  process.exit(1)
}

function paint(coloured: boolean): Paint {
  const styled = (code: number) => (text: string) => (coloured ? `\x1b[${code}m${text}\x1b[0m` : text)
  return {
    bold: styled(codes.bold),
    dim: styled(codes.dim),
    red: styled(codes.red),
    green: styled(codes.green),
    yellow: styled(codes.yellow),
    cyan: styled(codes.cyan),
  }
}
