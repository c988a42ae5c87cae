import { cpus } from 'node:os'
import type { EngineFacts } from '../../events.ts'
import { version } from '../../version.ts'
import type { Terminal } from '../terminal.ts'

/** What a case measured: parameters say of what, figures what came out. */
export type Result = {
  readonly case: string
  readonly engine: EngineFacts
  readonly parameters: Readonly<Record<string, string | number | readonly string[]>>
  readonly figures: readonly Figure[]
}

/** One number; `name` is its field in JSON, `meaning` is for people. */
export type Figure = {
  readonly name: string
  readonly value: number
  readonly unit: keyof typeof decimals
  readonly meaning: string
}

/** A figure in one line. */
export function figure(name: string, value: number, unit: Figure['unit'], meaning: string): Figure {
  return { name, value, unit, meaning }
}

/** Decimals that people are shown of each unit. */
const decimals = {
  ms: 1,
  'tokens/s': 0,
  'windows/s': 1,
  MB: 0,
  '%': 2,
  times: 3,
  count: 0,
  perplexity: 3,
  nats: 5,
} as const

/** One line: the case, its parameters, its figures and the machine, with its load when the case began. */
export function toJson({ case: name, engine, parameters, figures }: Result, load: number): string {
  const { device, precision, base } = engine
  const values = figures.map(({ name: field, value }) => [field, Number(value.toFixed(5))] as const)
  return JSON.stringify({
    case: name,
    ...parameters,
    base: base.id,
    device,
    precision,
    ...Object.fromEntries(values),
    machine: machineOf(engine, load),
  })
}

/** A table. */
export function toLines(result: Result, { paint }: Terminal): readonly string[] {
  const { case: name, engine, parameters, figures } = result
  const said = Object.entries(parameters).map(([key, value]) => `${words(key)} ${String(value)}`)
  const names = Math.max(...figures.map(({ name: field }) => field.length))
  const values = figures.map(({ value, unit }) =>
    `${value.toFixed(decimals[unit])} ${unit === 'count' || unit === 'perplexity' ? '' : unit}`.trimEnd(),
  )
  const width = Math.max(...values.map(({ length }) => length))
  return [
    '',
    paint.bold(`${name}: ${engine.base.id}, ${engine.precision} on ${engine.device}`),
    ...wrapped(said).map(line => paint.dim(`  ${line}`)),
    ...figures.map(
      ({ name: field, meaning }, row) =>
        `  ${field.padEnd(names)}  ${(values[row] ?? '').padStart(width)}  ${paint.dim(meaning)}`,
    ),
  ]
}

/** What the figures were measured on, for people. */
export function machineLine({ engine }: Result, load: number): string {
  const { cpu, cores, node } = machineOf(engine, load)
  return `lorastream ${version}, ${engine.name} ${engine.version}, Node ${node}; ${cores} × ${cpu}, load ${load.toFixed(2)} before`
}

function machineOf({ name, version: runtime }: EngineFacts, load: number) {
  const cores = cpus()
  return {
    cpu: cores[0]?.model.trim() ?? 'unknown',
    cores: cores.length,
    /** A minute's average: what else the machine did. */
    load: Number(load.toFixed(2)),
    node: process.version,
    [name]: runtime,
    lorastream: version,
  }
}

/** `promptTokens` as people write it. */
function words(name: string): string {
  return name.replace(/[A-Z]/g, letter => ` ${letter.toLowerCase()}`)
}

/** Joined by commas, in lines that fit a terminal. */
function wrapped(parts: readonly string[]): readonly string[] {
  const lines: string[] = []
  for (const part of parts) {
    const last = lines.at(-1)
    if (last === undefined || last.length + part.length > 94) lines.push(part)
    else lines[lines.length - 1] = `${last}, ${part}`
  }
  return lines
}
