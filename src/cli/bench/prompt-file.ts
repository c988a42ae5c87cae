import { readFile } from 'node:fs/promises'
import { ConfigError, toErrorData } from '../../errors.ts'
import type { Prompt } from '../../events.ts'
import { parsePrompt } from '../../prompt.ts'
import { demoPrompts } from '../demo-prompts.ts'

/**
 * As many prompts as a case needs, over and over from the file, by default the demo's held-out ones; each with
 * exactly `newTokens`.
 * @throws ConfigError for a file that cannot be read or holds no prompts.
 */
export async function benchPrompts(
  file: string | undefined,
  count: number,
  newTokens: number,
): Promise<readonly Prompt[]> {
  const prompts = file === undefined ? await demoPrompts() : await promptsIn(file)
  return Array.from({ length: count }, (_, index) => ({
    ...prompts[index % prompts.length],
    text: prompts[index % prompts.length]?.text ?? '',
    id: String(index),
    maxTokens: newTokens,
    ignoreEos: true,
  }))
}

async function promptsIn(file: string): Promise<readonly Prompt[]> {
  try {
    const lines = (await readFile(file, 'utf8')).split('\n').filter(line => line.trim() !== '')
    if (lines.length === 0) throw new ConfigError('no prompts, expected one a line')
    return lines.map(line => parsePrompt(JSON.parse(line)))
  } catch (error) {
    throw new ConfigError(`${file}: ${toErrorData(error).message}`, { cause: error })
  }
}
