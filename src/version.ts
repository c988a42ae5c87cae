import { readFileSync } from 'node:fs'

/** The version of lorastream, from its own package.json. */
export const version: string = read()

function read(): string {
  // One level up from `src` and from `dist` alike.
  const found: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  if (typeof found === 'object' && found !== null && 'version' in found && typeof found.version === 'string')
    return found.version
  throw new Error('package.json: version is missing, expected a string')
}
