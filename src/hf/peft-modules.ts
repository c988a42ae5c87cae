import { runInNewContext } from 'node:vm'
import { shown, type Fail } from './json.ts'
import type { Patterns, PeftConfig } from './peft-config.ts'

/** A pattern that backtracks without end is an attack; an honest one takes microseconds. */
const MAX_PATTERN_MS = 100

/** What a LoRA has on one module: its rank, and s = α/r (rsLoRA: α/√r). */
export type ModuleScale = { readonly rank: number; readonly scale: number }

/**
 * The modules among `names` that the config targets, by PEFT's rules (`check_target_module_exists`): a list holds names
 * or endings of names, a string is a regular expression for whole names, `all-linear` is all but the head.
 * @throws what `fail` makes when a pattern cannot be read or does not come to an end.
 */
export function targetedModules(
  file: string,
  config: PeftConfig,
  names: readonly string[],
  fail: Fail,
): ReadonlySet<string> {
  const { targets, excluded } = config
  const dropped = selected('exclude_modules', excluded)
  const candidates = names.filter(name => !dropped.has(name))
  if (typeof targets === 'string' && targets.toLowerCase() === 'all-linear') {
    return new Set(candidates.filter(name => name !== 'lm_head'))
  }
  const found = selected('target_modules', targets)
  const listed = new Set(targets)
  const inLayers = layerFilter(file, config, candidates, fail)
  return new Set(candidates.filter(name => found.has(name) && (listed.has(name) || inLayers(name))))

  function selected(option: string, wanted: readonly string[] | string): ReadonlySet<string> {
    if (wanted.length === 0) return new Set()
    if (typeof wanted === 'string') {
      const [groups = []] = match(`${file}: ${option}`, [`^(?:${wanted})$`], names, fail)
      return new Set(names.filter((_, index) => groups[index] !== null))
    }
    const endings = new Set(wanted)
    return new Set(names.filter(name => endingsOf(name).some(ending => endings.has(ending))))
  }
}

/**
 * The rank and the scale of each module: the first pattern that matches its name or an ending of it counts
 * (`get_pattern_key`), else the config's own.
 * @throws what `fail` makes when a pattern cannot be read or does not come to an end.
 */
export function moduleScales(
  file: string,
  config: PeftConfig,
  names: readonly string[],
  fail: Fail,
): ReadonlyMap<string, ModuleScale> {
  const ranks = firstMatches(`${file}: rank_pattern`, config.rankPattern, names, fail)
  const alphas = firstMatches(`${file}: alpha_pattern`, config.alphaPattern, names, fail)
  return new Map(
    names.map((name, index) => {
      const rank = ranks[index] ?? config.rank
      const alpha = alphas[index] ?? config.alpha
      return [name, { rank, scale: alpha / (config.rsLora ? Math.sqrt(rank) : rank) }]
    }),
  )
}

/** Whether a module lies in one of the config's layers: the number after a part that `layers_pattern` names. */
function layerFilter(
  file: string,
  { layers, layersPattern }: PeftConfig,
  names: readonly string[],
  fail: Fail,
): (name: string) => boolean {
  if (layers === undefined) return () => true
  const parts = layersPattern.length === 0 ? ['[^.]*'] : layersPattern
  const sources = parts.map(part => String.raw`^.*\.${part}\.(\d+)\.`)
  const matches = match(`${file}: layers_pattern`, sources, names, fail)
  const wanted = new Set(layers)
  const layerOf = new Map(
    names.map((name, index) => [name, matches.map(groups => groups[index]).find(group => group !== null)]),
  )
  return name => {
    const layer = layerOf.get(name)
    return layer !== undefined && wanted.has(Number(layer))
  }
}

function firstMatches(
  what: string,
  patterns: Patterns,
  names: readonly string[],
  fail: Fail,
): readonly (number | undefined)[] {
  const irregular = patterns.map(([pattern]) => pattern).filter(pattern => !isPlain(pattern))
  const sources = irregular.map(pattern => String.raw`^(?:.*\.)?(?:${pattern})$`)
  const matches = match(what, sources, names, fail)
  const rows = new Map(irregular.map((pattern, index) => [pattern, matches[index]]))
  return names.map((name, index) => {
    const fits = ([pattern]: Patterns[number]): boolean => {
      const row = rows.get(pattern)
      return row === undefined ? endsWithPlain(name, pattern) : row[index] !== null
    }
    return patterns.find(fits)?.[1]
  })
}

/** Letters, digits and dots only, as nearly all patterns are: cheap to match even when there is one for each module. */
const isPlain = (pattern: string): boolean => /^[\w.]+$/.test(pattern)

/** `(.*\.)?(pattern)$` for a plain pattern, whose dots stand for any character as in every regular expression. */
function endsWithPlain(name: string, pattern: string): boolean {
  const start = name.length - pattern.length
  if (start < 0 || (start > 0 && name[start - 1] !== '.')) return false
  for (let index = pattern.length - 1; index >= 0; index -= 1) {
    if (pattern[index] !== '.' && pattern[index] !== name[start + index]) return false
  }
  return true
}

/** `a.b.c`, `b.c` and `c`. */
function endingsOf(name: string): readonly string[] {
  const parts = name.split('.')
  return parts.map((_, index) => parts.slice(index).join('.'))
}

/** For each source and name: the first group, `''` without one, `null` where the name does not match. */
type Matches = readonly (readonly (string | null)[])[]

const MATCH = `JSON.stringify(sources.map(source => {
  const pattern = new RegExp(source, 'u')
  return names.map(name => { const found = pattern.exec(name); return found === null ? null : (found[1] ?? '') })
}))`

/**
 * Matches untrusted regular expressions under a time limit; only `node:vm` can stop one. Python's syntax and
 * JavaScript's agree on what adapters use; with the flag `u` what JavaScript reads otherwise is refused, not misread.
 */
function match(what: string, sources: readonly string[], names: readonly string[], fail: Fail): Matches {
  if (sources.length === 0) return []
  try {
    const json: unknown = runInNewContext(MATCH, { sources, names }, { timeout: MAX_PATTERN_MS })
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the script is ours, and its result JSON of this shape
    return JSON.parse(String(json)) as Matches
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw fail(`${what} cannot be matched: ${shown(reason)}`, { cause })
  }
}
