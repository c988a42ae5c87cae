/** What ends a row: strings in its text, and unless `ignoreEos` the model's own end tokens. */
export type Stopping = { readonly stop: readonly string[]; readonly ignoreEos: boolean }

/** The automata of a window: `table` int16 `[states, vocabulary]`, `start` the first state of each row. */
export type StopAutomata = { readonly table: Int16Array; readonly states: number; readonly start: readonly number[] }

/** The state that means "stopped": no row leaves it. */
export const STOPPED = 0

/**
 * States of all stop strings of a window: 256 take 25 MB at a vocabulary of 49,152. A row beyond that runs on to its end
 * token or its limit; its text is cut at the stop string all the same ({@link cutAtStop}).
 */
export const MAX_STATES = 256

/**
 * Automata over tokens that stop a row as soon as one of its strings stands in its text: the automaton of Aho and Corasick (1975)
 * over the strings' bytes, stepped by all bytes of a token at once. `tokenBytes` of a special token is `null`: it adds no text.
 */
export function stopAutomata(
  rows: readonly Stopping[],
  vocabulary: number,
  eosTokenIds: readonly number[],
  tokenBytes: (token: number) => Uint8Array | null,
): StopAutomata {
  const columns: Int16Array[] = [new Int16Array(vocabulary).fill(STOPPED)]
  const known = new Map<string, number>()
  const start = rows.map(({ stop, ignoreEos }) => {
    const key = JSON.stringify([ignoreEos, stop.toSorted()])
    const first = known.get(key) ?? add(stop, ignoreEos)
    known.set(key, first)
    return first
  })
  const table = new Int16Array(columns.length * vocabulary)
  columns.forEach((column, state) => table.set(column, state * vocabulary))
  return { table, states: columns.length, start }

  function add(stop: readonly string[], ignoreEos: boolean): number {
    const first = columns.length
    const automaton = ahoCorasick(stop.map(text => Buffer.from(text)).filter(bytes => bytes.length > 0))
    const fits = first + automaton.next.length <= MAX_STATES
    const next = fits ? automaton.next : [[]]
    next.forEach((_, state) => {
      const column = new Int16Array(vocabulary).fill(first + state)
      if (fits && automaton.next.length > 1) {
        for (let token = 0; token < vocabulary; token++) {
          const bytes = tokenBytes(token)
          if (bytes !== null) column[token] = after(automaton, state, bytes, first)
        }
      }
      if (!ignoreEos) for (const token of eosTokenIds) column[token] = STOPPED
      columns.push(column)
    })
    return first
  }
}

type Automaton = { readonly next: readonly (readonly number[])[]; readonly ends: readonly boolean[] }

function after({ next, ends }: Automaton, from: number, bytes: Uint8Array, first: number): number {
  let state = from
  for (const byte of bytes) {
    state = next[state]?.[byte] ?? 0
    if (ends[state] === true) return STOPPED
  }
  return first + state
}

/** `next[state][byte]` for every state and byte; state 0 is "nothing matched yet". */
function ahoCorasick(patterns: readonly Uint8Array[]): Automaton {
  const next: number[][] = [Array<number>(256).fill(-1)]
  const ends = [false]
  for (const pattern of patterns) {
    let state = 0
    for (const byte of pattern) {
      const row = next[state] ?? []
      if ((row[byte] ?? -1) < 0) {
        row[byte] = next.length
        next.push(Array<number>(256).fill(-1))
        ends.push(false)
      }
      state = row[byte] ?? 0
    }
    ends[state] = true
  }
  const fallback = next.map(() => 0)
  const queue = [0]
  for (const state of queue) {
    const row = next[state] ?? []
    const back = next[fallback[state] ?? 0] ?? []
    for (let byte = 0; byte < 256; byte++) {
      const child = row[byte] ?? -1
      const elsewhere = state === 0 ? 0 : (back[byte] ?? 0)
      if (child < 0) row[byte] = elsewhere
      else {
        fallback[child] = elsewhere
        ends[child] = ends[child] === true || ends[elsewhere] === true
        queue.push(child)
      }
    }
  }
  return { next, ends }
}

/** The text before the first stop string in it, or `null` when there is none. */
export function cutAtStop(text: string, stop: readonly string[]): string | null {
  const places = stop
    .filter(one => one !== '')
    .map(one => text.indexOf(one))
    .filter(place => place >= 0)
  return places.length === 0 ? null : text.slice(0, Math.min(...places))
}

/**
 * How many of a row's tokens there are when a stop string is complete, that one included; all of them when none is. A row that went on
 * past its stop string, because there were no states left for it, so counts what it would have alone.
 */
export function tokensToStop(
  tokens: readonly number[],
  stop: readonly string[],
  tokenBytes: (token: number) => Uint8Array | null,
): number {
  const { next, ends } = ahoCorasick(stop.map(text => Buffer.from(text)).filter(bytes => bytes.length > 0))
  let state = 0
  for (const [place, token] of tokens.entries()) {
    for (const byte of tokenBytes(token) ?? []) {
      state = next[state]?.[byte] ?? 0
      if (ends[state] === true) return place + 1
    }
  }
  return tokens.length
}
