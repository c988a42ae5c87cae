import type { Scorer, VectorIndex } from '../ports.ts'
import { covariance } from './covariance.ts'
import { hybrid } from './hybrid.ts'
import { cosine, innerProduct } from './linear-scorers.ts'

export type ScorerName = 'hybrid' | 'covariance' | 'cosine' | 'inner-product'

export type ScorerOptions = {
  /** Empty, and the scorer's alone. By default exact search. */
  readonly index?: VectorIndex | undefined
  /** Adapters whose samples may be used to fit what all adapters share; by default all. Nothing is fitted for a cosine. */
  readonly fitOn?: ReadonlySet<string> | undefined
}

/** Every scorer under the name that the command line uses. */
export const scorers: Readonly<Record<ScorerName, (options?: ScorerOptions) => Scorer>> = {
  hybrid,
  covariance,
  cosine,
  'inner-product': innerProduct,
}
