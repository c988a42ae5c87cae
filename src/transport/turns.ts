/** Runs what it is given one after the other, in the order of the calls, whatever becomes of those before. */
export function turns(): <T>(work: () => Promise<T>) => Promise<T> {
  let before: Promise<unknown> = Promise.resolve()
  return async work => {
    const done = before.then(work)
    before = done.catch(() => {})
    return await done
  }
}
