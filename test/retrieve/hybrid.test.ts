import { hybrid } from '../../src/retrieve/hybrid.ts'
import { scorerContract } from '../contracts/scorer.ts'

scorerContract('hybrid', () => hybrid())
