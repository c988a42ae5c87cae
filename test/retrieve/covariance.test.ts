import { covariance } from '../../src/retrieve/covariance.ts'
import { scorerContract } from '../contracts/scorer.ts'

scorerContract('covariance', () => covariance())
