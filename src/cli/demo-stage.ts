import type { Prompt, Receipt } from '../events.ts'
import type { Transport } from '../ports.ts'
import type { Settlement } from './demo-report.ts'

/** What the demo runs on: a transport with the prompts on it, and what comes out of it. */
export type Stage = {
  readonly transport: Transport
  /** A line about it for the demo's opening. */
  readonly about?: string
  /** Aborted when every prompt is answered, where the sources do not end by themselves; `guard` sees to signals there. */
  readonly answered?: AbortSignal
  /** What the play comes to; where answers are not worth waiting for, it is left alone at the first signal: AbortError. */
  guard(play: Promise<void>): Promise<void>
  next(receipt: Receipt): void
  /** Resolves when everything is shown. */
  done(): Promise<readonly Settlement[]>
  /** Removes what was made for the demo. */
  close(): Promise<void>
}

export type Show = (settlement: Settlement) => Promise<void>

/** Prompts in, and who shows what comes out. */
export type Play = { readonly prompts: readonly Prompt[]; readonly show: Show }

export const deadLetters = 'prompts.dead'
