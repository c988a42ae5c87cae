import type { Completion, Receipt } from '../events.ts'
import type { DeadLetter, Settlement } from './demo-report.ts'
import type { Show } from './demo-stage.ts'

/**
 * Puts together what comes by ways of its own: the receipts of windows, and what a reader finds on the topics. Windows are
 * shown in the order of their receipts, each when all of it has been read.
 */
export class Gatherer {
  readonly #show: Show
  readonly #completions = new Map<string, Completion[]>()
  readonly #dead: DeadLetter[] = []
  readonly #receipts: Receipt[] = []
  readonly #settlements: Settlement[] = []
  #showing: Promise<void> = Promise.resolve()

  constructor(show: Show) {
    this.#show = show
  }

  /** Prompts that were read back, answered or dead. */
  read = 0

  completion(completion: Completion): void {
    const { id } = completion.provenance.window
    this.#completions.set(id, [...(this.#completions.get(id) ?? []), completion])
    this.read++
    this.#flush()
  }

  dead(letter: DeadLetter): void {
    this.#dead.push(letter)
    this.read++
    this.#flush()
  }

  receipt(receipt: Receipt): void {
    this.#receipts.push(receipt)
    this.#flush()
  }

  /** What was shown, when it was. */
  async shown(): Promise<readonly Settlement[]> {
    await this.#showing
    return this.#settlements
  }

  #flush(): void {
    for (let receipt = this.#receipts[0]; receipt !== undefined; receipt = this.#receipts[0]) {
      const completions = this.#completions.get(receipt.window) ?? []
      if (completions.length < receipt.answered || this.#dead.length < receipt.failed) return
      this.#receipts.shift()
      const settlement = {
        number: this.#settlements.length + 1,
        receipt,
        // They come partition by partition.
        completions: completions.toSorted((a, b) => a.provenance.window.row - b.provenance.window.row),
        dead: this.#dead.splice(0, receipt.failed),
      }
      this.#settlements.push(settlement)
      this.#showing = this.#showing.then(() => this.#show(settlement))
      // Told by `shown`.
      this.#showing.catch(() => {})
    }
  }
}
