/**
 * Runs what it is given one after the other, in the order of the calls. What waits behind work that fails is not run, and fails
 * alike; whoever calls later begins anew.
 */
export function turns(): <T>(work: () => Promise<T>) => Promise<T> {
  let before: Promise<unknown> = Promise.resolve()
  return async work => {
    const done = before.then(work)
    before = done
    try {
      return await done
    } finally {
      if (before === done) before = Promise.resolve()
    }
  }
}
