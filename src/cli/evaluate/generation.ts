import { join } from 'node:path'
import { softmaxWeights } from '../../compose/softmax-weights.ts'
import { strategies } from '../../compose/strategies.ts'
import { ConfigError } from '../../errors.ts'
import type { Compose, Engine, Pool } from '../../ports.ts'
import { readArguments } from '../arguments.ts'
import type { Command } from '../command.ts'
import { partHelp, partOptions, readK, readParts, strategyNames } from '../options.ts'
import { chooseParts } from '../parts.ts'
import { openParts } from '../resources.ts'
import type { Terminal } from '../terminal.ts'
import { openAnswers, type AnswerStore, type Pace, type Template } from './generation-answers.ts'
import { firstOfEach, readItems, type Item } from './generation-items.ts'
import { describe, titleOf, weightings, type GenerationChoice, type GenerationResult } from './generation-result.ts'
import { evaluateGeneration, modes } from './generation-run.ts'
import { rememberingPool } from './remembering-pool.ts'
import { markdownOf, tableRows, writeRow } from './generation-table.ts'

/** The longest answers that ROUGE-L is meant for. */
const MAX_NEW_TOKENS = 4096
const MAX_LIMIT = 1_000_000
/** Rows of one forward pass, their KV caches in memory together. */
const MAX_WINDOW_SIZE = 1024

export const generation: Command = {
  help: `Usage: lorastream evaluate generation --data FILE [--mode NAME] [--strategy NAME] [--k N] [options]

Answers labelled prompts, greedily, and scores the answers, against those of each prompt's own
adapter ("perfect selection"). A line of FILE is
  {"adapter": …, "cluster": …, "metric": "em" or "rouge-l", "text": …, "target": …}
"adapter" is the one that was trained for the prompt, "cluster" a heading of the report.

  lorastream evaluate generation --data test.jsonl --mode ood --strategy mixture --k 3

Scores are means over adapters of the means over their items, from 0 to 100. The interval is 95 % of
a bootstrap over adapters and then over the items of each.

Options:
  --data FILE          labelled prompts, JSON lines
  --mode NAME          iid: all adapters can be retrieved; ood: all but the prompt's own;
                       perfect: its own alone (default: iid)
  --strategy NAME      ${strategyNames.join(', ')} (default: mixture)
  --k N                adapters for each prompt (default: 3)
  --weights NAME       uniform: 1/k each; softmax: of the scores, with mixture or fusion alone
                       (default: uniform)
  --tau T              temperature of softmax weights, in units of the score
  --max-tokens N       new tokens at most (default: 50)
  --limit N            the first N items of every adapter alone
  --answers FILE       keeps answers, so that no run answers the same twice; not with --config
  --table DIR          instead: base, perfect selection, selection, mixture and fusion for k = 1, 3
                       and 5, and adaptive, with and without the own adapter. A JSON file for each
                       in DIR, and a table in Markdown; a stopped run goes on where it was,
                       but with --config, where answers are not kept
  --window-size N      prompts answered together (default: 24)
  --json               one JSON object
${partHelp}`,

  prepare(args) {
    const given = readArguments('evaluate generation', args, {
      text: [
        ...(['data', 'mode', 'strategy', 'k', 'weights', 'tau', 'max-tokens', 'limit', 'answers', 'table'] as const),
        'window-size',
        ...partOptions,
      ],
      flags: ['json'],
    })
    const data = given.text('data')
    if (data === undefined) throw new ConfigError('--data is missing, expected a file of labelled prompts')
    const parts = readParts(given)
    const table = given.text('table')
    const own = (['mode', 'strategy', 'k', 'weights', 'tau'] as const).find(name => given.text(name) !== undefined)
    if (table !== undefined && own !== undefined)
      throw new ConfigError(`--${own} and --table exclude each other: the table has all strategies`)
    const answers = given.text('answers')
    if (answers !== undefined && parts.config !== undefined)
      throw new ConfigError(
        '--answers and --config exclude each other: only the config knows the template of its engine, and an answer depends on it',
      )
    const kept = answers ?? (table === undefined ? undefined : join(table, 'answers.jsonl'))
    const settings = {
      data,
      maxTokens: given.integer('max-tokens', 1, MAX_NEW_TOKENS) ?? 50,
      limit: given.integer('limit', 1, MAX_LIMIT),
      window: given.integer('window-size', 1, MAX_WINDOW_SIZE) ?? 24,
      answers: parts.config === undefined ? kept : undefined,
      template: parts.template,
      scorer: parts.config === undefined ? parts.scorer : null,
    }
    const tau = given.number('tau', 1e-6, 1e6)
    const choice: GenerationChoice = {
      mode: given.oneOf('mode', modes) ?? 'iid',
      strategy: given.oneOf('strategy', strategyNames) ?? 'mixture',
      k: readK(given) ?? 3,
      weights: given.oneOf('weights', weightings) ?? 'uniform',
      ...(tau === undefined ? {} : { tau }),
    }
    const compose = composeOf(choice)

    return async terminal => {
      const signal = terminal.stopping()
      const all = await readItems(settings.data)
      const items = settings.limit === undefined ? all : firstOfEach(all, settings.limit)
      const store = await openAnswers(settings.answers)
      const { open } = await chooseParts(parts, terminal)
      const opened = await openParts(open, terminal)
      try {
        const context = { ...settings, ...opened, items, store, signal, terminal }
        if (table !== undefined) return await writeTable(table, given.flag('json'), context)
        const result = await evaluated(choice, compose, context)
        await terminal.print(given.flag('json') ? JSON.stringify(result) : describe(result))
      } finally {
        await Promise.all([opened.pool.close(), opened.engine.close()])
      }
    }
  },
}

/** Throws ConfigError for softmax weights without a temperature or of a strategy that has none, and a temperature without them. */
function composeOf({ strategy, weights, tau }: GenerationChoice): Compose {
  if (weights === 'uniform' && tau !== undefined)
    throw new ConfigError('--tau is given, expected with --weights softmax')
  if (weights === 'uniform') return strategies[strategy]
  if (strategy !== 'mixture' && strategy !== 'fusion')
    throw new ConfigError(`--weights softmax goes with --strategy mixture or fusion, found "${strategy}"`)
  if (tau === undefined) throw new ConfigError('--weights is softmax and --tau is missing, expected a temperature')
  return softmaxWeights(strategies[strategy], tau)
}

type Context = {
  readonly data: string
  readonly maxTokens: number
  readonly window: number
  readonly template: Template
  readonly scorer: string | null
  readonly pool: Pool
  readonly engine: Engine
  readonly items: readonly Item[]
  readonly store: AnswerStore
  readonly signal: AbortSignal
  readonly terminal: Terminal
}

async function evaluated(choice: GenerationChoice, compose: Compose, context: Context): Promise<GenerationResult> {
  const { data, maxTokens, scorer, engine, items, store, terminal } = context
  const { tau = null, ...rest } = choice
  const onProgress = (done: number, total: number, pace: Pace) =>
    terminal.progress(`${titleOf({ ...rest, tau })}: ${bar(done, total)} ${done} of ${total}, ${rateOf(pace)}`)
  const trial = { mode: choice.mode, compose, k: choice.strategy === 'base' ? 0 : choice.k }
  const { pace, ...report } = await evaluateGeneration(items, trial, context, store, { ...context, onProgress })
  terminal.progress('')
  const tokensPerSecond = pace.seconds === 0 ? null : pace.newTokens / pace.seconds
  return { ...rest, tau, scorer, maxTokens, data, ...report, engine: engine.facts, date: today(), tokensPerSecond }
}

async function writeTable(directory: string, json: boolean, context: Context): Promise<void> {
  const results: GenerationResult[] = []
  const pool = rememberingPool(context.pool)
  for (const { name, ...choice } of tableRows) {
    const result = await evaluated(choice, composeOf(choice), { ...context, pool })
    await writeRow(directory, name, result)
    results.push(result)
    context.terminal.note(`${name}: ${result.overall.toFixed(1)}`)
  }
  await context.terminal.print(json ? JSON.stringify(results) : markdownOf(results))
}

const BAR = 20

function bar(done: number, total: number): string {
  const filled = total === 0 ? BAR : Math.round((BAR * done) / total)
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR - filled)}]`
}

function rateOf({ newTokens, seconds }: Pace): string {
  return seconds === 0 ? 'starting' : `${(newTokens / seconds).toFixed(0)} tokens/s`
}

function today(): string {
  return new Date().toISOString().slice(0, 10)
}
