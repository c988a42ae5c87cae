/** Work in steps: done in turns with other work, or at once by whoever cannot wait, but only once. */
export class Steps<Value> {
  readonly #work: Generator<void, Value>
  #result: { readonly value: Value } | undefined

  constructor(work: Generator<void, Value>) {
    this.#work = work
  }

  /** What is left of it. Several may take steps by turns. */
  *rest(): Generator<void, Value> {
    while (this.#result === undefined) {
      const step = this.#work.next()
      if (step.done === true) this.#result = { value: step.value }
      else yield
    }
    return this.#result.value
  }

  /** All that is left, at once. */
  finish(): Value {
    if (this.#result !== undefined) return this.#result.value
    const rest = this.rest()
    for (;;) {
      const step = rest.next()
      if (step.done === true) return step.value
    }
  }
}
