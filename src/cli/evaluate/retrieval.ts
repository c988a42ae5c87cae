import { join } from 'node:path'
import { firstValueFrom, takeWhile, toArray } from 'rxjs'
import { peftDirectory } from '../../adapters/peft-directory.ts'
import { ConfigError, SchemaError } from '../../errors.ts'
import { onnxEncoder } from '../../retrieve/onnx-encoder.ts'
import { RETRIEVAL_PREFIX } from '../../retrieve/pool.ts'
import { scorers } from '../../retrieve/scorers.ts'
import { vectorCache } from '../../retrieve/vector-cache.ts'
import { readArguments } from '../arguments.ts'
import type { Command } from '../command.ts'
import { indexes, scorerNames } from '../options.ts'
import { defaultPaths, expectModels, openIndex } from '../parts.ts'
import type { Terminal } from '../terminal.ts'
import { readIds, readLabelled, readSampleSet, type SampleSet } from './retrieval-files.ts'
import { depths, retrievalReport, type RetrievalReport } from './retrieval-report.ts'
import { encodeAll, encodeSamples, rank } from './retrieval-run.ts'

/** Stands where a model is named, so that none is looked for. */
const NO_MODEL = ''

export const retrieval: Command = {
  help: `Usage: lorastream evaluate retrieval --data FILE [--samples FILE | --adapters DIR] [options]

How often the right adapter is found for labelled prompts: first, and among the first 3, 5 and 8.
A line of --data is
  {"adapter": …, "text": …}
with "group" (a kind of adapters: is the first hit of the right kind?) and "exclude" (ids that may
not be found) where wanted. "adapter" is the one that the prompt is for.

  lorastream evaluate retrieval --samples samples.jsonl --data test.jsonl --scorer hybrid

Percentages are over prompts; the interval is 95 % of a bootstrap over adapters, with a fixed seed.

Options:
  --data FILE          labelled prompts, JSON lines
  --samples FILE       samples of all adapters, JSON lines: {"adapter": …, "text": …}
  --adapters DIR       a folder of PEFT adapters with their samples (default: adapters)
  --scorer NAME        hybrid, covariance, cosine or inner-product (default: hybrid)
  --fit FILE           ids of adapters, one a line, whose samples alone may fit what all adapters
                       share; by default all
  --no-prefix          encode texts as they are, without the instruction
  --index NAME         search for adapters: exact or hnsw (default: exact)
  --encoder DIR        encoder: a sentence-transformers directory (default: the demo's)
  --cache DIR          keeps vectors of samples and prompts (default: .cache/lorastream)
  --json               one JSON object`,

  prepare(args) {
    const given = readArguments('evaluate retrieval', args, {
      text: ['data', 'samples', 'fit', 'encoder', 'adapters', 'scorer', 'index', 'cache'],
      flags: ['json', 'no-prefix'],
    })
    const data = given.text('data')
    if (data === undefined) throw new ConfigError('--data is missing, expected a file of labelled prompts')
    const samplesFile = given.text('samples')
    if (samplesFile !== undefined && given.text('adapters') !== undefined)
      throw new ConfigError('--samples and --adapters exclude each other: both say which adapters there are')
    const scorer = given.oneOf('scorer', scorerNames) ?? 'hybrid'
    const indexName = given.oneOf('index', indexes) ?? 'exact'
    const cache = vectorCache(join(given.text('cache') ?? '.cache/lorastream', 'vectors'))
    const folder = given.text('adapters') ?? 'adapters'
    const fitFile = given.text('fit')
    const encoderGiven = given.text('encoder')
    const prefix = given.flag('no-prefix') ? '' : RETRIEVAL_PREFIX

    return async terminal => {
      const signal = terminal.stopping()
      const set = samplesFile === undefined ? await samplesOf(folder, terminal) : await readSampleSet(samplesFile)
      const known = new Set(set.keys())
      const fitOn = fitFile === undefined ? undefined : await readIds(fitFile, known)
      const prompts = await readLabelled(data, known)
      const wanted = { model: NO_MODEL, ...(encoderGiven !== undefined && { encoder: encoderGiven }) }
      await expectModels(wanted)
      const encoder = await onnxEncoder(defaultPaths(wanted).encoder)
      try {
        const note = (message: string) => terminal.note(message)
        const how = { encoder, prefix, cache, note, signal }
        const progress = (what: string, of: number) => (done: number) =>
          terminal.progress(done < of ? `encoding ${what}: ${done} of ${of}` : '')
        const count = [...set.values()].flat().length
        const samples = await encodeSamples(set, { ...how, progress: progress('samples', count) })
        const texts = prompts.map(({ text }) => text)
        const encoded = await encodeAll(texts, { ...how, progress: progress('prompts', texts.length) })
        const index = await openIndex(indexName)
        const { ranked, fitMs, searchMs } = rank(scorers[scorer]({ index, fitOn }), samples, prompts, encoded)
        const result: RetrievalResult = {
          scorer,
          adapters: set.size,
          fittedOn: fitOn?.size ?? set.size,
          prefix,
          index: indexName,
          encoder: encoder.facts,
          ...retrievalReport(ranked),
          fitMs,
          searchMs,
        }
        await terminal.print(given.flag('json') ? JSON.stringify(result) : describe(result))
      } finally {
        await encoder.close()
      }
    }
  },
}

type RetrievalResult = RetrievalReport & {
  readonly scorer: string
  readonly adapters: number
  readonly fittedOn: number
  readonly prefix: string
  readonly index: string
  readonly encoder: { readonly id: string; readonly digest: string }
  readonly fitMs: number
  readonly searchMs: number
}

/** The samples of a folder's adapters; what was refused is told. */
async function samplesOf(directory: string, terminal: Terminal): Promise<SampleSet> {
  const source = peftDirectory(directory)
  try {
    const changes = await firstValueFrom(
      source.changes.pipe(
        takeWhile(change => change.type !== 'caught-up'),
        toArray(),
      ),
    )
    const samples = new Map<string, readonly string[]>()
    for (const change of changes) {
      if (change.type === 'added' && change.samples.length > 0) samples.set(change.adapter.id, change.samples)
      if (change.type === 'refused') terminal.note(`${change.id} was refused: ${change.error.message}`)
    }
    if (samples.size === 0) throw new SchemaError(`${directory}: no adapter with samples, expected at least one`)
    return samples
  } finally {
    await source.close()
  }
}

function describe(result: RetrievalResult): string {
  const { scorer, adapters, fittedOn, n, findable, top, group, interval, confusions, fitMs, searchMs } = result
  const rows = Object.entries(result.perAdapter).toSorted(([, one], [, other]) => one.top[1] - other.top[1])
  const width = Math.max(7, ...rows.map(([id]) => id.length))
  const heads = depths.map(depth => `top-${depth}`.padStart(8)).join('')
  const range =
    interval === null ? '' : `   top-1: 95 % between ${interval[0].toFixed(2)} and ${interval[1].toFixed(2)}`
  return [
    `${scorer}: ${n} prompts, ${adapters} adapters${fittedOn === adapters ? '' : `, fitted on ${fittedOn}`}`,
    `${''.padEnd(width)}${heads}`,
    `${(findable === n ? 'all' : `${findable} findable`).padEnd(width)}${cells(top)}${range}`,
    ...(group === null ? [] : [`right group first: ${group.toFixed(2)}`]),
    `fit ${fitMs.toFixed(0)} ms, search ${searchMs.toFixed(3)} ms a prompt (encoder not counted)`,
    '',
    ...rows.map(([id, { top: own }]) => `${id.padEnd(width)}${cells(own)}`),
    ...(confusions.length === 0 ? [] : ['', 'taken for another:']),
    ...confusions.map(({ adapter, found, count }) => `${String(count).padStart(5)}  ${adapter} for ${found}`),
  ].join('\n')
}

function cells(top: RetrievalReport['top']): string {
  return depths.map(depth => (top?.[depth].toFixed(2) ?? '-').padStart(8)).join('')
}
