import * as fc from 'fast-check'

/**
 * Property tests draw the same cases on every run, so that a failure is the change's and not the day's.
 * `FAST_CHECK_SEED=random npm test` draws others; a number repeats a run that failed.
 */
const { FAST_CHECK_SEED: seed = '1' } = process.env
if (seed !== 'random') fc.configureGlobal({ seed: Number(seed) })
