import { readFileSync, statSync } from 'node:fs'
import type { SecureContextOptions } from 'node:tls'
import { ConfigError, toErrorData } from '../errors.ts'

/** A chain of certificates has some kilobytes; a file of more was named by mistake. */
const MAX_FILE_BYTES = 2 ** 20

/**
 * A secret from the environment variable, or from the file that `NAME_FILE` names, without the line end after it; undefined
 * where neither is set. Throws ConfigError, which never quotes it, where both are, or the file is empty or cannot be read.
 */
export function secret(name: string): string | undefined {
  const value = process.env[name] ?? ''
  const path = process.env[`${name}_FILE`] ?? ''
  if (value !== '' && path !== '') throw new ConfigError(`${name} and ${name}_FILE are both set, expected one of them`)
  if (path !== '') return readSecret(`${name}_FILE`, path)
  return value === '' ? undefined : value
}

/** The same, where it must be there. */
export function neededSecret(name: string): string {
  const found = secret(name)
  if (found === undefined)
    throw new ConfigError(`${name} is not set, and neither is ${name}_FILE, expected one of them`)
  return found
}

/** The content of a file that holds a secret and perhaps a line end; `name` is the variable that names it. */
function readSecret(name: string, path: string): string {
  const content = contentOf(name, path).replace(/\r?\n$/, '')
  if (content === '') throw new ConfigError(`${name}: ${path} is empty, expected a secret`)
  return content
}

/** PEM files that `PREFIX_CA`, `PREFIX_CERT` and `PREFIX_KEY` name; undefined where none is named. Throws ConfigError. */
export function tlsFiles(prefix: string): Pick<SecureContextOptions, 'ca' | 'cert' | 'key' | 'passphrase'> | undefined {
  const files = {
    ca: pem(`${prefix}_CA`),
    cert: pem(`${prefix}_CERT`),
    key: pem(`${prefix}_KEY`),
    passphrase: secret(`${prefix}_PASSPHRASE`),
  }
  if ((files.cert === undefined) !== (files.key === undefined))
    throw new ConfigError(`${prefix}_CERT and ${prefix}_KEY go together, expected both or neither`)
  const given = Object.entries(files).filter(([, content]) => content !== undefined)
  return given.length === 0 ? undefined : Object.fromEntries(given)
}

/** The content of the PEM file that a variable names; undefined where it is not set. Throws ConfigError. */
function pem(name: string): string | undefined {
  const path = process.env[name] ?? ''
  if (path === '') return undefined
  const content = contentOf(name, path)
  if (!content.includes('-----BEGIN ')) throw new ConfigError(`${name}: ${path} has no -----BEGIN, expected PEM`)
  return content
}

function contentOf(name: string, path: string): string {
  try {
    const { size } = statSync(path)
    if (size <= MAX_FILE_BYTES) return readFileSync(path, 'utf8')
  } catch (error) {
    throw new ConfigError(`${name}: ${path} cannot be read: ${toErrorData(error).message}`, { cause: error })
  }
  throw new ConfigError(`${name}: ${path} is too large, expected at most ${MAX_FILE_BYTES} bytes`)
}
