import { readFile } from 'node:fs/promises'
import { ConfigError, fromErrorData, toErrorData } from '../../errors.ts'
import { openModel } from '../../hf/model.ts'
import { openTokenizer } from '../../hf/tokenizer.ts'
import type { OnnxEngine } from '../../infer/onnx-engine.ts'
import { greedyRow } from '../../row.ts'
import { benchCommand, type Bench } from './bench-case.ts'
import { englishText } from './english-text.ts'
import { openEngine } from './measure.ts'
import { figure } from './result.ts'

const MAX_CHUNK = 4096

type Settings = { readonly chunk: number; readonly text?: string }

export const quality = benchCommand({
  name: 'quality',
  opens: 'model',
  about: `What a precision costs in quality, against float32 of the same weights: perplexity of both on an
English text (from the introduction to Darwin's "On the Origin of Species"), how often both prefer
the same next token, and the mean divergence between their predictions. The text is read in chunks
that know nothing of each other. Float32 weights of a .gguf file take disk in the cache, four bytes
each.`,
  options: {
    chunk: ['N', 'tokens that are read at once (default: 256)'],
    text: ['FILE', 'a text file, instead'],
  },
  prepare(given) {
    const text = given.text('text')
    const settings = {
      chunk: given.integer('chunk', 2, MAX_CHUNK) ?? 256,
      ...(text !== undefined && { text }),
    }
    return bench => measure(settings, bench)
  },
})

async function measure(settings: Settings, bench: Bench): Promise<void> {
  const { terminal, signal } = bench
  const { chunk } = settings
  const text = settings.text === undefined ? englishText : await read(settings.text)
  const { tokenizer, config } = await openModel(bench.paths.model)
  const tokens = openTokenizer(tokenizer).encode(text, { special: false })
  if (tokens.length < 2) throw new ConfigError(`--text has ${tokens.length} tokens, expected at least two`)

  const reference = await openEngine(bench, { precision: 'float32' })
  const engine = await openEngine(bench).catch(async (error: unknown) => {
    await reference.close()
    throw error
  })
  try {
    const total = { positions: 0, reference: 0, own: 0, agreed: 0, divergence: 0 }
    for (let start = 0; start + 1 < tokens.length; start += chunk) {
      signal.throwIfAborted()
      terminal.progress(`token ${start} of ${tokens.length}`)
      const part = tokens.slice(start, start + chunk)
      const [expected, found] = [await score(reference, part), await score(engine, part)]
      for (const [place, token] of part.slice(1).entries()) {
        const slice = (logits: Float32Array) => logits.subarray(place * config.vocab, (place + 1) * config.vocab)
        const compared = compare(slice(expected), slice(found), token)
        total.positions += 1
        total.reference += compared.reference
        total.own += compared.own
        total.agreed += compared.agreed ? 1 : 0
        total.divergence += compared.divergence
      }
    }
    const { positions } = total
    const perplexity = Math.exp(total.own / positions)
    const float32 = Math.exp(total.reference / positions)
    await bench.report({
      case: 'quality',
      engine: engine.facts,
      parameters: { text: settings.text ?? 'On the Origin of Species', tokens: tokens.length, chunk },
      figures: [
        figure('perplexity', perplexity, 'perplexity', `of ${engine.facts.precision}, over ${positions} predictions`),
        figure('perplexityFloat32', float32, 'perplexity', 'of float32'),
        figure('overFloat32Percent', 100 * (perplexity / float32 - 1), '%', 'above that of float32'),
        figure('sameTopPercent', (100 * total.agreed) / positions, '%', 'predictions with the same most likely token'),
        figure('divergence', total.divergence / positions, 'nats', 'mean Kullback-Leibler divergence from float32'),
      ],
    })
  } finally {
    await Promise.all([reference.close(), engine.close()])
  }
}

/** Logits of every position, `[tokens, vocabulary]`. Throws what the row failed with. */
async function score(engine: OnnxEngine, tokens: readonly number[]): Promise<Float32Array> {
  const [logits] = await engine.score({ rows: [greedyRow(tokens, 1)], stack: [], mapping: [[]] })
  if (logits === undefined) throw new Error('a row has logits')
  if ('code' in logits) throw fromErrorData(logits)
  return logits
}

/** Two predictions `[vocabulary]`: −ln p of the token that came, and Σ p·ln(p/q) of the first against the second. */
function compare(
  reference: Float32Array,
  own: Float32Array,
  token: number,
): { readonly reference: number; readonly own: number; readonly agreed: boolean; readonly divergence: number } {
  const [expected, found] = [normaliser(reference), normaliser(own)]
  let divergence = 0
  for (let index = 0; index < reference.length; index += 1) {
    const logP = (reference[index] ?? 0) - expected.log
    divergence += Math.exp(logP) * (logP - ((own[index] ?? 0) - found.log))
  }
  return {
    reference: expected.log - (reference[token] ?? 0),
    own: found.log - (own[token] ?? 0),
    agreed: expected.top === found.top,
    divergence,
  }
}

/** ln Σ exp(logit), and which logit is the largest. */
function normaliser(logits: Float32Array): { readonly log: number; readonly top: number } {
  let top = 0
  for (let index = 1; index < logits.length; index += 1) if ((logits[index] ?? 0) > (logits[top] ?? 0)) top = index
  const most = logits[top] ?? 0
  let total = 0
  for (const logit of logits) total += Math.exp(logit - most)
  return { log: most + Math.log(total), top }
}

async function read(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((error: unknown) => {
    throw new ConfigError(`${path}: ${toErrorData(error).message}`, { cause: error })
  })
}
