import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { ConfigError, toErrorData } from '../errors.ts'
import type { Prompt } from '../events.ts'
import { parsePrompt } from '../prompt.ts'

const file = fileURLToPath(new URL('../../adapters/prompts.jsonl', import.meta.url))

/** The prompts that come with the adapters: held out from their training, with the task and the target as metadata. */
export async function demoPrompts(): Promise<readonly Prompt[]> {
  try {
    const lines = (await readFile(file, 'utf8')).split('\n').filter(line => line !== '')
    return lines.map(line => parsePrompt(JSON.parse(line)))
  } catch (error) {
    throw new ConfigError(`${file}: ${toErrorData(error).message}`, { cause: error })
  }
}
