import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { ModelError, UnsupportedModelError } from '../errors.ts'
import type { Fail } from '../hf/json.ts'
import { readSafetensorsHeader } from '../hf/safetensors.ts'
import { readTokenizerFiles } from '../hf/tokenizer-files.ts'
import { openTokenizer } from '../hf/tokenizer.ts'
import { eachPiece, withFile } from '../hf/weight-file.ts'
import type { Digest } from '../lora.ts'
import { modelBytes } from '../onnx/proto.ts'
import { openSession, type Session, type TensorData } from '../onnx/session.ts'
import type { Encoder } from '../ports.ts'
import { bertGraph, parseBertConfig } from './bert.ts'
import { readEncoderFiles, type EncoderFiles } from './encoder-files.ts'
import { poolRow, type HiddenStates } from './pooling.ts'
import { batchesOf, cutter } from './token-batches.ts'
import { version } from '../version.ts'

/** Vectors of several texts, one after the other: `[texts, dimension]`. */
export type Vectors = { readonly data: Float32Array<ArrayBuffer>; readonly dimension: number }

/** An encoder in this thread: `encode` blocks it. */
export type SentenceEncoder = {
  readonly facts: Encoder['facts']
  encode(texts: readonly string[]): Promise<Vectors>
  close(): Promise<void>
}

const fail: Fail = (message, options) => new ModelError(message, options)

/**
 * Opens a sentence-transformers directory: `onnx/model.onnx` when there is one, else a BERT graph over
 * `model.safetensors`.
 * @throws ModelError, UnsupportedModelError
 */
export async function openSentenceEncoder(path: string, threads?: number): Promise<SentenceEncoder> {
  const files = await readEncoderFiles(path)
  const tokenizer = openTokenizer(await readTokenizerFiles(files.directory))
  const cut = cutter(tokenizer, files)
  const { session, weights } = await openModel(files, threads)
  const run = runner(session)
  const probe = await run([cut('')])
  const facts = { id: files.id, digest: await digestOf([...files.files, weights]), dimension: probe.dimension }
  return {
    facts,
    async encode(texts) {
      const data = new Float32Array(texts.length * facts.dimension)
      for (const { rows } of batchesOf(texts.map(cut))) {
        const states = await run(rows.map(row => row.tokens))
        for (const [row, { index, tokens }] of rows.entries()) {
          data.set(poolRow(states, row, tokens.length, files.pooling), index * facts.dimension)
        }
      }
      return { data, dimension: facts.dimension }
    },
    close: () => session.close(),
  }
}

async function openModel(
  files: EncoderFiles,
  threads: number | undefined,
): Promise<{ readonly session: Session; readonly weights: string }> {
  const { directory, config } = files
  const options = { device: 'cpu', name: files.id, ...(threads !== undefined && { threads }) } as const
  const exported = join(directory, 'onnx', 'model.onnx')
  if (await isFile(exported)) {
    const session = await openSession(exported, options).catch((cause: unknown) => {
      throw new ModelError(`${exported}: cannot be opened: ${reasonOf(cause)}`, { cause })
    })
    return { session, weights: exported }
  }
  const location = 'model.safetensors'
  const weights = join(directory, location)
  const bert = parseBertConfig(join(directory, 'config.json'), config)
  const { tensors } = await readSafetensorsHeader(weights, fail)
  const bytes = modelBytes(bertGraph(bert, { path: weights, location, tensors }), { producerVersion: version })
  return { session: await openSession(bytes, { ...options, weightFolder: directory }), weights }
}

/** Runs a batch of token lists, padded on the right to the longest. */
function runner(session: Session): (batch: readonly (readonly number[])[]) => Promise<HiddenStates> {
  const output = ['last_hidden_state', 'token_embeddings'].find(name => session.outputs.includes(name))
  const unknown = session.inputs.filter(name => !INPUTS.includes(name))
  if (output === undefined || unknown.length > 0) {
    throw new UnsupportedModelError(
      `the ONNX model takes ${session.inputs.join(', ')} and gives ${session.outputs.join(', ')}, ` +
        `expected ${INPUTS.join(', ')} and last_hidden_state`,
    )
  }
  return async batch => {
    const width = Math.max(...batch.map(tokens => tokens.length))
    const dims = [batch.length, width]
    const matrix = (valueOf: (token: number) => number): TensorData => {
      const data = new BigInt64Array(batch.length * width)
      for (const [row, tokens] of batch.entries()) {
        for (const [place, token] of tokens.entries()) data[row * width + place] = BigInt(valueOf(token))
      }
      return { type: 'int64', data, dims }
    }
    const all = { input_ids: matrix(token => token), attention_mask: matrix(() => 1), token_type_ids: matrix(() => 0) }
    const feeds = Object.fromEntries(Object.entries(all).filter(([name]) => session.inputs.includes(name)))
    const states = (await session.run(feeds))[output]
    const dimension = states?.dims[2]
    if (states?.type !== 'float32' || dimension === undefined) throw new ModelError(`${output} is no float32 [b, t, d]`)
    return { data: states.data, width, dimension }
  }
}

const INPUTS: readonly string[] = ['input_ids', 'attention_mask', 'token_type_ids']

/** sha256 over names, lengths and bytes, so that no two sets of files look alike. Files that are not there do not count. */
async function digestOf(files: readonly string[]): Promise<Digest> {
  const hash = createHash('sha256')
  for (const file of files) {
    if (!(await isFile(file))) continue
    await withFile(file, fail, async (handle, size) => {
      hash.update(`${basename(file)} ${size}\n`)
      await eachPiece(handle, file, size, fail, piece => hash.update(piece))
    })
  }
  return `sha256:${hash.digest('hex')}`
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    found => found.isFile(),
    () => false,
  )
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
