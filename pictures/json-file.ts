import { readFile } from 'node:fs/promises'
import { isObject, type JsonObject } from '../src/hf/json.ts'

/** An object from a file of JSON. @throws Error naming the file. */
export async function readJson(path: string): Promise<JsonObject> {
  const value: unknown = JSON.parse(await readFile(path, 'utf8'))
  if (!isObject(value)) throw new Error(`${path}: expected an object`)
  return value
}

/** @throws Error naming what is missing. */
export function numberAt(where: string, object: JsonObject, key: string): number {
  const value = object[key]
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new Error(`${where}: ${key} is no number`)
  return value
}

/** @throws Error naming what is missing. */
export function textAt(where: string, object: JsonObject, key: string): string {
  const value = object[key]
  if (typeof value !== 'string') throw new Error(`${where}: ${key} is no text`)
  return value
}

/** @throws Error naming what is missing. */
export function objectAt(where: string, object: JsonObject, key: string): JsonObject {
  const value = object[key]
  if (!isObject(value)) throw new Error(`${where}: ${key} is no object`)
  return value
}

/** Two numbers. @throws Error naming what is missing. */
export function intervalAt(where: string, object: JsonObject, key: string): readonly [low: number, high: number] {
  const value = object[key]
  const ends: readonly unknown[] = Array.isArray(value) ? value : []
  const [low, high] = ends
  if (typeof low !== 'number' || typeof high !== 'number') throw new Error(`${where}: ${key} is no interval`)
  return [low, high]
}
