import { readFileSync } from 'node:fs'
import type { Completion, Prompt } from './events.ts'
import type { Schema } from './ports.ts'
import { parsePrompt } from './prompt.ts'

/** The shipped Avro schemas, `schemas/*.avsc`, with the types of their values. */
export const schemas: { readonly prompt: Schema<Prompt>; readonly completion: Schema<Completion> } = {
  prompt: { name: 'Prompt', avro: load('prompt'), parse: parsePrompt },
  completion: { name: 'Completion', avro: load('completion') },
}

function load(name: string): unknown {
  // One level up from `src` and from `dist` alike.
  return JSON.parse(readFileSync(new URL(`../schemas/${name}.avsc`, import.meta.url), 'utf8'))
}
