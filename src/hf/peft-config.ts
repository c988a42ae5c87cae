import { isObject, shown, type Fail, type JsonObject } from './json.ts'

/** What an `adapter_config.json` says that bears on the maths. */
export type PeftConfig = {
  readonly rank: number
  readonly alpha: number
  readonly rsLora: boolean
  /** Pattern and value, in the file's order: the first that matches a module counts. */
  readonly rankPattern: Patterns
  readonly alphaPattern: Patterns
  /** Names or suffixes of modules, or one regular expression for whole names. */
  readonly targets: readonly string[] | string
  readonly excluded: readonly string[] | string
  /** Layers to which `targets` is confined; absent for all. */
  readonly layers?: readonly number[]
  readonly layersPattern: readonly string[]
}

export type Patterns = readonly (readonly [pattern: string, value: number])[]

/** The engine pads a window's LoRAs to the largest rank among them, so one adapter must not blow up its neighbours. */
const MAX_RANK = 1024

/** An adapter may list every module of its base by its full name; the largest have a few thousand. */
const MAX_ENTRIES = 16_384

/** Longer than any module's name and than any pattern that people write. */
const MAX_ENTRY_LENGTH = 1024

/** Options that say how an adapter was trained or where it came from, but not what it computes. */
const WITHOUT_EFFECT = new Set([
  'auto_mapping',
  'base_model_name_or_path',
  'inference_mode',
  'lora_dropout',
  'megatron_core',
  'peft_version',
  'revision',
  'task_type',
  // Concerns only `use_qalora`, which is refused.
  'qalora_group_size',
  // PEFT stores the weights of a layer of kind Conv1D transposed; A and B are the same either way.
  'fan_in_fan_out',
  // Concern only the initialisations of their names; those that change the base are refused below.
  'loftq_config',
  'eva_config',
  'corda_config',
  'lora_ga_config',
])

/** Initialisations that leave the base's weights alone; PiSSA, OLoRA and the like subtract the start from them. */
const INITIALISATIONS = new Set<unknown>([true, false, null, undefined, 'gaussian', 'eva', 'orthogonal'])

const HONOURED = new Set([
  'alpha_pattern',
  'bias',
  'exclude_modules',
  'init_lora_weights',
  'layers_pattern',
  'layers_to_transform',
  'lora_alpha',
  'peft_type',
  'r',
  'rank_pattern',
  'target_modules',
  'use_rslora',
])

/**
 * Checks every option. What is neither honoured nor known to be without effect must be off: absent, `null`, `false` or
 * empty.
 * @throws what `fail` makes, naming the option, what it is and what was expected.
 */
export function parsePeftConfig(file: string, json: JsonObject, fail: Fail): PeftConfig {
  const refuse = (option: string, expected: string): Error =>
    fail(`${file}: ${shown(option)} is ${shown(json[option])}, expected ${expected}`)

  if (json['peft_type'] !== 'LORA') throw refuse('peft_type', 'LORA')
  for (const [option, value] of Object.entries(json)) {
    if (HONOURED.has(option) || WITHOUT_EFFECT.has(option) || isOff(value)) continue
    throw refuse(option, 'it to be off: this option is not supported')
  }
  if (json['bias'] !== 'none' && !isOff(json['bias'])) throw refuse('bias', '"none"')
  if (!INITIALISATIONS.has(json['init_lora_weights'])) {
    throw refuse('init_lora_weights', 'one that leaves the weights of the base as they are')
  }

  const targets = names('target_modules')
  if (targets.length === 0) throw refuse('target_modules', 'names of modules or a pattern')
  const layers = layersOf()
  const layersPattern = [names('layers_pattern')].flat().filter(pattern => pattern !== '')
  if (typeof targets === 'string' && (layers !== undefined || layersPattern.length > 0)) {
    throw refuse('layers_to_transform', 'none beside a pattern in target_modules')
  }
  if (layersPattern.length > 0 && layers === undefined)
    throw refuse('layers_pattern', 'none without layers_to_transform')
  const rsLora = json['use_rslora'] ?? false
  if (typeof rsLora !== 'boolean') throw refuse('use_rslora', 'true or false')
  const rank = json['r']
  if (!isRank(rank)) throw refuse('r', RANK)
  const alpha = json['lora_alpha']
  if (!isAlpha(alpha)) throw refuse('lora_alpha', ALPHA)
  return {
    rank,
    alpha,
    rsLora,
    rankPattern: patterns('rank_pattern', isRank, RANK),
    alphaPattern: patterns('alpha_pattern', isAlpha, ALPHA),
    targets,
    excluded: names('exclude_modules'),
    ...(layers !== undefined && { layers }),
    layersPattern,
  }

  function names(option: string): readonly string[] | string {
    const value = json[option] ?? []
    if (typeof value === 'string' && value.length <= MAX_ENTRY_LENGTH) return value
    if (Array.isArray(value) && value.length <= MAX_ENTRIES && value.every(isName)) return value
    throw refuse(option, `a list of names or a pattern of at most ${MAX_ENTRY_LENGTH} characters`)
  }

  function layersOf(): readonly number[] | undefined {
    const value = json['layers_to_transform'] ?? []
    const layerList: unknown[] = Array.isArray(value) ? value : [value]
    if (layerList.length > MAX_ENTRIES || !layerList.every(isLayer)) {
      throw refuse('layers_to_transform', 'numbers of layers')
    }
    // PEFT takes an empty list for none.
    return layerList.length === 0 ? undefined : layerList
  }

  function patterns(option: string, accepts: (value: unknown) => value is number, expected: string): Patterns {
    const value = json[option] ?? {}
    if (!isObject(value)) throw refuse(option, 'an object')
    const entries = Object.entries(value)
    if (entries.length > MAX_ENTRIES) throw refuse(option, `at most ${MAX_ENTRIES} patterns`)
    return entries.map(([pattern, number]) => {
      if (!isName(pattern)) throw refuse(option, `patterns of at most ${MAX_ENTRY_LENGTH} characters`)
      if (!accepts(number)) {
        throw fail(`${file}: ${option} of "${shown(pattern)}" is ${shown(number)}, expected ${expected}`)
      }
      return [pattern, number] as const
    })
  }
}

const RANK = `a whole number from 1 to ${MAX_RANK}`
const ALPHA = 'a number above 0'

function isRank(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_RANK
}

/** Fusion takes the root of alpha / r, so it cannot be negative. In float32, where it is used, it must not vanish or overflow. */
function isAlpha(value: unknown): value is number {
  return typeof value === 'number' && value >= 1e-30 && value <= 1e30
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_ENTRY_LENGTH
}

function isLayer(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isOff(value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === '') return true
  return typeof value === 'object' && Object.keys(value).length === 0
}
