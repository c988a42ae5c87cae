import { readFile, writeFile } from 'node:fs/promises'
import { KINDS, type Kind } from './lora-slots.ts'

/** What PEFT adapts by default in these families. */
const COMMON_KINDS: readonly Kind[] = ['q_proj', 'v_proj']

/**
 * The kinds of module that adapters sat on when this base was last open, so that the first session is the right one: to
 * open another takes a second or two. It is a hint and nothing depends on it: a file that cannot be read counts as none.
 */
export async function rememberedKinds(file: string): Promise<ReadonlySet<Kind>> {
  const names = await readFile(file, 'utf8').then(
    text => text.split('\n'),
    (): readonly string[] => [],
  )
  const kinds = KINDS.filter(kind => names.includes(kind))
  return new Set(kinds.length > 0 ? kinds : COMMON_KINDS)
}

/** Leaves the hint for the next time; a cache that cannot be written costs that time and nothing else. */
export async function rememberKinds(file: string, kinds: readonly Kind[]): Promise<void> {
  await writeFile(file, kinds.join('\n')).catch(() => undefined)
}
