import { setImmediate } from 'node:timers/promises'
import type { ErrorData } from '../errors.ts'
import type { Adapter, Hit } from '../lora.ts'
import type { NamedAdapter } from '../events.ts'
import type { Query, Sample, Scored, Scorer } from '../ports.ts'
import { confidences, fitCalibration, type Calibration } from './calibration.ts'
import { RIVALS } from './held-out.ts'
import { Steps } from './steps.ts'

export type Member = { readonly adapter: Adapter; readonly samples: number }

export type Refusal = { readonly id: string; readonly error: ErrorData }

/** Ids are at most 128 characters; what a prompt names may be anything. */
const MAX_SHOWN = 128

/** Longer steps would hold up windows that are on their way. */
const TURN_MS = 5

/** Who is in the pool. Each change is one synchronous step and one epoch, so whoever looks sees it whole or not at all. */
export class Members {
  readonly #scorer: Scorer
  readonly #admitted = new Map<string, Member>()
  readonly #refused = new Map<string, ErrorData>()
  /** Adapters on their way in; one that was removed or replaced meanwhile is no longer here. */
  readonly #expected = new Map<string, Adapter>()
  #epoch = 0
  /** Fitted at an epoch, and in use until the next is. */
  #calibration: { readonly epoch: number; readonly fitted: Calibration | undefined } | undefined

  #prepared: Promise<void> = Promise.resolve()

  constructor(scorer: Scorer) {
    this.#scorer = scorer
  }

  get epoch(): number {
    return this.#epoch
  }

  get size(): number {
    return this.#admitted.size
  }

  /** Adapters that a search can find. */
  get searchable(): number {
    return this.#scorer.size
  }

  /** Announces an adapter that {@link admit} will bring. */
  expect(adapter: Adapter): void {
    this.#expected.set(adapter.id, adapter)
  }

  isExpected(adapter: Adapter): boolean {
    return this.#expected.get(adapter.id) === adapter
  }

  /** Takes an expected adapter in; without samples it can only be named. */
  admit(adapter: Adapter, samples: readonly Sample[]): void {
    this.#scorer.add(adapter.id, samples)
    this.#expected.delete(adapter.id)
    this.#refused.delete(adapter.id)
    this.#admitted.set(adapter.id, { adapter, samples: samples.length })
    this.#epoch += 1
  }

  refuse(id: string, error: ErrorData): void {
    this.remove(id)
    this.#refused.set(id, error)
  }

  remove(id: string): void {
    this.#expected.delete(id)
    this.#refused.delete(id)
    if (!this.#admitted.delete(id)) return
    this.#scorer.remove(id)
    this.#epoch += 1
  }

  /** Exactly these, or `ADAPTER_UNKNOWN` with what is known about the first that is not there. */
  named(wanted: readonly NamedAdapter[]): readonly Hit[] | ErrorData {
    const hits: Hit[] = []
    for (const { id, weight } of wanted) {
      const found = this.#admitted.get(id)
      if (found === undefined) return this.#unknown(id)
      hits.push({ adapter: found.adapter, score: null, ...(weight !== undefined && { weight }) })
    }
    return hits
  }

  /** Does what the next question would wait for, and calibrates; lets others have their turn every few ms. */
  async prepare(): Promise<void> {
    this.#prepared = this.#prepare()
    await this.#prepared
  }

  /** Resolves when the last {@link prepare} has ended. A question that waits for it holds nobody else up. */
  async prepared(): Promise<void> {
    await Promise.allSettled([this.#prepared])
  }

  /** For each question, in order, the likeliest, best first, each with how sure it is that the prompt is for it, as far as was calibrated. */
  nearest(questions: readonly (Sample & Pick<Query, 'k' | 'exclude'>)[]): readonly (readonly Hit[])[] {
    const found = this.#scorer.search(
      questions.map(({ text, vector, k, exclude }) => {
        return { text, vector, k: Math.max(k, 1 + RIVALS), skip: new Set(exclude) }
      }),
    )
    return found.map((hits, at) => this.#hits(hits, questions[at]?.k ?? 0))
  }

  /** The first `k` of these, which were found with their {@link RIVALS}. */
  #hits(found: readonly Scored[], k: number): readonly Hit[] {
    const calibration = this.#calibration?.fitted
    const sure =
      calibration === undefined
        ? undefined
        : confidences(
            found.map(({ score }) => score),
            calibration,
          )
    return found.slice(0, k).flatMap(({ key, score }, place) => {
      const member = this.#admitted.get(key)
      const confidence = sure?.[place]
      return member === undefined
        ? []
        : [{ adapter: member.adapter, score, ...(confidence !== undefined && { confidence }) }]
    })
  }

  /** In the order of their ids. */
  admitted(): readonly Member[] {
    return [...this.#admitted.values()].toSorted((one, other) => compareText(one.adapter.id, other.adapter.id))
  }

  /** In the order of their ids. */
  refused(): readonly Refusal[] {
    return [...this.#refused]
      .map(([id, error]) => ({ id, error }))
      .toSorted((one, other) => compareText(one.id, other.id))
  }

  async #prepare(): Promise<void> {
    if ((await this.#inTurns(this.#scorer.prepare())) === undefined) return
    const epoch = this.#epoch
    if (this.#calibration?.epoch === epoch) return
    const samples = await this.#inTurns(this.#scorer.heldOut())
    const work = new Steps(fitCalibration(samples ?? []))
    if (samples === undefined || (await this.#inTurns(work.rest())) === undefined) return
    this.#calibration = { epoch, fitted: work.finish() }
  }

  /** All steps, or none where the pool changed meanwhile: what comes after a change prepares anew. */
  async #inTurns<Step>(steps: Iterable<Step>): Promise<readonly Step[] | undefined> {
    const epoch = this.#epoch
    const done: Step[] = []
    let turn = performance.now()
    for (const step of steps) {
      done.push(step)
      if (performance.now() - turn < TURN_MS) continue
      await setImmediate()
      if (this.#epoch !== epoch) return undefined
      turn = performance.now()
    }
    return done
  }

  #unknown(id: string): ErrorData {
    const refusal = this.#refused.get(id)
    const why = refusal === undefined ? 'is not in the pool' : `was refused: ${refusal.message}`
    return { code: 'ADAPTER_UNKNOWN', message: `adapter "${id.slice(0, MAX_SHOWN)}" ${why}` }
  }
}

/** By code unit, so that the order is the same in every locale. */
const compareText = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0)
