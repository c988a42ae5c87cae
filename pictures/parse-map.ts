import { isObject, type JsonObject } from '../src/hf/json.ts'
import { numberAt, textAt } from './json-file.ts'
import type { AdapterMap, MapPoint } from './map-points.ts'

/** What `--map` wrote. @throws Error naming the file and the point. */
export function parseMap(file: string, json: JsonObject): AdapterMap {
  const points: unknown = json['points']
  if (!Array.isArray(points)) throw new Error(`${file}: points is no list`)
  return {
    encoder: textAt(file, json, 'encoder'),
    method: textAt(file, json, 'method'),
    points: points.map((point: unknown, index): MapPoint => {
      const where = `${file}: point ${index}`
      if (!isObject(point)) throw new Error(`${where} is no object`)
      const { kind, nearest } = point
      if (kind !== 'adapter' && kind !== 'sample' && kind !== 'prompt') throw new Error(`${where}: kind is unknown`)
      return {
        kind,
        adapter: textAt(where, point, 'adapter'),
        group: textAt(where, point, 'group'),
        x: numberAt(where, point, 'x'),
        y: numberAt(where, point, 'y'),
        ...(typeof nearest === 'boolean' && { nearest }),
      }
    }),
  }
}
