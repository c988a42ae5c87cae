import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/**
 * Why a program cannot be used, or undefined where it answers to the flag. Only one that is not there is missing; one that is
 * there and fails is broken, and throws.
 */
export async function missingProgram(command: string, flag: string): Promise<string | undefined> {
  try {
    await promisify(execFile)(command, [flag])
    return undefined
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return `"${command}" is not there`
    throw error
  }
}
