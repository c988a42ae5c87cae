import { defer, mergeMap, type OperatorFunction } from 'rxjs'

/** Windows that are being written. While a broker answers for one the next are encoded and sent; more would only wait there. */
const AT_A_TIME = 4

/**
 * Begins to write each window as it comes, some at a time, and emits what came of it in the order of the windows; whoever
 * writes keeps their answers in order. The first that fails ends the stream at once: others that had begun, before it and
 * behind it, may have been written, and are not told of.
 */
export function writing<Window, Written>(
  write: (window: Window) => Promise<Written>,
): OperatorFunction<Window, Written> {
  return windows =>
    defer(() => {
      let before: Promise<unknown> = Promise.resolve()
      return windows.pipe(
        mergeMap(window => {
          const written = Promise.all([write(window), before]).then(([result]) => result)
          before = written
          return written
        }, AT_A_TIME),
      )
    })
}
