import { from, mergeMap, type OperatorFunction } from 'rxjs'

/** Windows that are being written. While brokers answer for one, the next are encoded and sent; more of them would wait there. */
const AT_A_TIME = 4

/**
 * Begins to write each window as it comes, some at a time, and emits what came of it in the order of the windows. Whoever writes
 * keeps their answers in order. The first that fails ends the stream; those after it may have been written.
 */
export function writing<Window, Written>(
  write: (window: Window) => Promise<Written>,
): OperatorFunction<Window, Written> {
  let before: Promise<unknown> = Promise.resolve()
  return mergeMap(window => {
    const written = Promise.all([write(window), before]).then(([result]) => result)
    before = written
    return from(written)
  }, AT_A_TIME)
}
