import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { AdapterError } from '../errors.ts'
import { shown } from '../hf/json.ts'
import { CONFIG_FILE, openPeft, WEIGHTS_FILE, type BaseModules } from '../hf/peft.ts'
import type { Adapter, AdapterId } from '../lora.ts'
import { readSamples, SAMPLES_FILE } from './samples.ts'

/** An adapter as it is on disk; `key` changes when any of its bytes do. */
export type Examined = { readonly adapter: Adapter; readonly samples: readonly string[]; readonly key: string }

/** Names that are safe in messages, headers, file names and metrics. */
const ID = /^[A-Za-z0-9._-]{1,128}$/

/**
 * Checks a directory in full: its name, its PEFT files and its samples.
 * @throws AdapterError
 */
export async function examine(directory: string, name: string, modules: BaseModules | undefined): Promise<Examined> {
  if (!ID.test(name)) {
    throw new AdapterError(
      `${shown(directory)}: the name of the directory is the id, expected 1 to 128 of A-Z a-z 0-9 . _ -`,
    )
  }
  const { digest, rank } = await openPeft(directory, modules)
  const samples = await readSamples(directory)
  const key = `${digest} ${createHash('sha256').update(JSON.stringify(samples)).digest('hex')}`
  return { adapter: { id: idOf(name), digest, directory, rank }, samples, key }
}

/** The brand is only a promise: that the name is a directory's in the folder. */
export function idOf(name: string): AdapterId {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- this is where the promise is made
  return name as AdapterId
}

/** Changes whenever a file that matters is written, replaced, added or removed; costs no reading. */
export async function signatureOf(directory: string): Promise<string> {
  const states = await Promise.all(
    [CONFIG_FILE, WEIGHTS_FILE, SAMPLES_FILE].map(file => stateOf(join(directory, file))),
  )
  return states.join(' ')
}

/** Whether there could be an adapter: hidden directories of other tools are none, unless they look like one. */
export async function isCandidate(directory: string, name: string): Promise<boolean> {
  const found = await stat(directory).catch(() => undefined)
  if (!found?.isDirectory()) return false
  return !name.startsWith('.') || (await stateOf(join(directory, CONFIG_FILE))) !== ABSENT
}

const ABSENT = '-'

async function stateOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
    return `${ino}:${size}:${mtimeNs}:${ctimeNs}`
  } catch {
    return ABSENT
  }
}
