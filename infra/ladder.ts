/** Why a service cannot be had. */
export type Missing = { readonly missing: string }

/** One way to come by a service. */
export type Rung<T> = {
  /** What it gives, for the line that tells which was taken. */
  readonly name: string
  /** The service, or why there is none this way. */
  readonly take: () => Promise<T | Missing>
}

/** Where a line goes that nobody must read, by default stderr. */
export type Tell = (line: string) => void

/** Compiled, this is part of an installed package, which fetches no Java programs. */
export const installed = !import.meta.url.endsWith('.ts')

/**
 * The first way that leads to a service, told in one line together with why those before it were not taken. Where none does,
 * every reason, and what to set or to install. What a rung throws is thrown: a service that is named and does not work must not be
 * replaced by another.
 */
export async function climb<T extends object>(
  { service, variable }: { readonly service: string; readonly variable: string },
  rungs: readonly Rung<T>[],
  tell: Tell = toStderr,
): Promise<T | Missing> {
  const reasons: string[] = []
  for (const { name, take } of rungs) {
    const found = await take()
    if (!('missing' in found)) {
      tell(`${service}: ${name}${reasons.length > 0 ? ` (${reasons.join(', ')})` : ''}`)
      return found
    }
    reasons.push(found.missing)
  }
  const help = installed
    ? `set ${variable}, or start a container engine and install testcontainers beside lorastream`
    : `set ${variable}, start a container engine, or install Java 17 and Maven`
  return { missing: `no ${service}: ${reasons.join(', ')}; ${help}` }
}

/** What an environment variable names. */
export function named<T>(variable: string, open: (value: string) => T): Rung<T> {
  return {
    name: `the one that ${variable} names`,
    async take() {
      const value = process.env[variable] ?? ''
      return value === '' ? { missing: `${variable} is not set` } : open(value)
    },
  }
}

function toStderr(line: string): void {
  process.stderr.write(`${line}\n`)
}
