// What `lorastream demo --kafka` loads.
export { findServices } from './services.ts'
export { setUp } from './set-up.ts'
