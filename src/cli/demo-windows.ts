import type { Completion, Headers, Prompt, Receipt } from '../events.ts'
import { schemas } from '../schemas.ts'
import type { MemoryTransport } from '../transport/memory.ts'
import type { DeadLetter, Settlement } from './demo-report.ts'

/**
 * Follows a run on the in-memory transport: after every receipt reads what came to the topics, decoded as any consumer
 * would, and shows it, window by window. `done` resolves when everything is shown.
 */
export function followWindows(
  transport: MemoryTransport,
  prompts: readonly Prompt[],
  deadLetters: string,
  show: (settlement: Settlement) => Promise<void>,
): { next(receipt: Receipt): void; done(): Promise<readonly Settlement[]> } {
  const settlements: Settlement[] = []
  const seen = { completions: 0, dead: 0 }
  let showing: Promise<void> = Promise.resolve()

  return {
    next(receipt) {
      showing = showing.then(async () => {
        const all: readonly Completion[] = await transport.read('completions', schemas.completion)
        const completions = all.slice(seen.completions, seen.completions + receipt.answered)
        const letters = transport.topics.records(deadLetters)
        const dead = letters.slice(seen.dead, seen.dead + receipt.failed).map(({ headers }) => toLetter(headers))
        seen.completions += completions.length
        seen.dead += dead.length
        const settlement = { number: settlements.length + 1, receipt, completions, dead }
        settlements.push(settlement)
        await show(settlement)
      })
      // Told by `done`.
      showing.catch(() => {})
    },
    async done() {
      await showing
      return settlements
    },
  }

  function toLetter(headers: Headers): DeadLetter {
    const facts = new Map(headers.map(([name, value]) => [name, Buffer.from(value).toString()]))
    const fact = (name: string): string => facts.get(`__lorastream.errors.${name}`) ?? ''
    return { prompt: prompts[Number(fact('offset'))], code: fact('code'), reason: fact('message') }
  }
}
