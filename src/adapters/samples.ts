import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { AdapterError } from '../errors.ts'
import { readConfined } from '../hf/confined-file.ts'
import { parseJsonObject, shown, type Fail } from '../hf/json.ts'

export const SAMPLES_FILE = 'samples.jsonl'

/** The paper has 20; accuracy is flat long before this. Each one costs a run of the encoder at the first start. */
const MAX_SAMPLES = 1000

/** Encoders read the first few hundred tokens. */
const MAX_SAMPLE_LENGTH = 32_768

/** A thousand samples of 8 KB. */
const MAX_SAMPLES_BYTES = 8 * 1024 * 1024

/** Bytes to parse between two turns of the event loop: below 3 ms. */
const SLICE_BYTES = 256 * 1024

const NEWLINE = 0x0a

const fail: Fail = (message, options) => new AdapterError(message, options)

/**
 * The prompts that place an adapter in the embedding space: `{"text": …}` a line, blank lines ignored. None when the
 * file is not there.
 * @throws AdapterError naming the file and the line.
 */
export async function readSamples(directory: string): Promise<readonly string[]> {
  const bytes = await readConfined(directory, SAMPLES_FILE, MAX_SAMPLES_BYTES, fail)
  const samples: string[] = []
  let sinceTurn = 0
  for (const { line, number } of linesOf(bytes ?? new Uint8Array(0))) {
    const where = `${join(directory, SAMPLES_FILE)} line ${number}`
    const { text } = parseJsonObject(where, line, fail)
    if (typeof text !== 'string') throw fail(`${where}: text is ${shown(text)}, expected a string`)
    if (text.trim() === '') throw fail(`${where}: text is empty, expected a prompt of the task`)
    if (text.length > MAX_SAMPLE_LENGTH) {
      throw fail(`${where}: text of ${text.length} characters, expected at most ${MAX_SAMPLE_LENGTH}`)
    }
    if (samples.length === MAX_SAMPLES) throw fail(`${where}: expected at most ${MAX_SAMPLES} samples`)
    samples.push(text)
    sinceTurn += line.length
    if (sinceTurn < SLICE_BYTES) continue
    sinceTurn = 0
    await setImmediate()
  }
  return samples
}

/** Lines with something on them, numbered from 1. */
function* linesOf(bytes: Uint8Array): Generator<{ readonly line: Uint8Array; readonly number: number }> {
  let start = 0
  for (let number = 1; start < bytes.length; number += 1) {
    const newline = bytes.indexOf(NEWLINE, start)
    const end = newline === -1 ? bytes.length : newline
    const line = bytes.subarray(start, end)
    if (line.some(byte => byte > 0x20)) yield { line, number }
    start = end + 1
  }
}
