import type { TopLevelSpec } from 'vega-lite'
import { intervalAt, numberAt, objectAt, textAt } from './json-file.ts'
import type { JsonObject } from '../src/hf/json.ts'
import { paperRetrieval } from './paper.ts'
import { palette, soft } from './svg.ts'

/** One line of the picture: how often the right adapter is among the first k, in percent. */
export type Accuracy = {
  readonly name: string
  readonly n: number
  readonly top: Readonly<Record<number, number>>
  readonly interval: readonly [low: number, high: number]
}

export const cutoffs = [1, 3, 5, 8] as const

/** A result of `evaluate retrieval --json`. @throws Error naming the file and the field. */
export function accuracyOf(where: string, result: JsonObject): Accuracy {
  const top = objectAt(where, result, 'top')
  const [adapters, fittedOn] = [numberAt(where, result, 'adapters'), numberAt(where, result, 'fittedOn')]
  return {
    name:
      textAt(where, result, 'scorer') +
      (textAt(where, result, 'prefix') === '' ? ', no prefix' : '') +
      (fittedOn < adapters ? `, fitted on ${fittedOn} of the ${adapters} tasks` : ''),
    n: numberAt(where, result, 'n'),
    top: Object.fromEntries(cutoffs.map(k => [k, numberAt(`${where}: top`, top, `${k}`)])),
    interval: intervalAt(where, result, 'interval'),
  }
}

/** Results of the same name, each fitted on other tasks, as one: their mean. The interval is the first one's. */
function averaged(results: readonly Accuracy[]): readonly Accuracy[] {
  return [...new Set(results.map(({ name }) => name))].flatMap(name => {
    const [first, ...others] = results.filter(result => result.name === name)
    if (first === undefined || others.length === 0) return first ?? []
    const draws = [first, ...others]
    const mean = (k: number): number => draws.reduce((sum, { top }) => sum + (top[k] ?? 0), 0) / draws.length
    const top = Object.fromEntries(cutoffs.map(k => [k, mean(k)]))
    return { ...first, name: `${name}, mean of ${draws.length} draws`, top }
  })
}

/** Accuracy against k, ours in colour, the paper's dashed and grey; best first. */
export function accuracySpec(results: readonly Accuracy[]): TopLevelSpec {
  const best = (one: Pick<Accuracy, 'top'>): number => one.top[1] ?? 0
  const ours = averaged(results).toSorted((one, other) => best(other) - best(one))
  const paper = paperRetrieval.toSorted((one, other) => best(other) - best(one))
  const names = [...ours, ...paper].map(({ name }) => name)
  const values = [...ours, ...paper].flatMap(({ name, top }) =>
    cutoffs.map(k => ({ name, k: `${k}`, value: (top as Readonly<Record<number, number>>)[k] })),
  )
  const low = Math.floor(Math.min(...values.map(({ value }) => value ?? 100)) / 10) * 10
  const greys = paper.map(() => soft)
  const dashes = paper.map(
    (_, index) =>
      [
        [8, 3],
        [5, 3],
        [2, 3],
      ][index] ?? [1, 1],
  )
  const scale = { domain: names }
  // Named, for what stands inside `as const` is readonly, and Vega-Lite's types are not.
  const domain: number[] = [low, 100]
  const colours: string[] = [...palette.slice(0, ours.length), ...greys]
  const strokes: number[][] = [...ours.map(() => [1, 0]), ...dashes]
  const encoding = {
    x: {
      field: 'k',
      type: 'ordinal',
      title: 'adapters retrieved (k)',
      scale: { type: 'point', padding: 0.3 },
      sort: null,
      axis: { labelAngle: 0, grid: false },
    },
    y: {
      field: 'value',
      type: 'quantitative',
      title: 'the right adapter is among them, %',
      scale: { domain },
    },
    color: {
      field: 'name',
      type: 'nominal',
      title: null,
      scale: { ...scale, range: colours },
      legend: { orient: 'right', symbolSize: 260, symbolType: 'stroke', rowPadding: 6 },
    },
  } as const
  const [interval] = ours.map(one => one.interval)
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width: 400,
    height: 340,
    title: {
      text: 'Retrieval: accuracy against k',
      subtitle: [
        `${ours[0]?.n.toLocaleString('en') ?? 0} prompts, all-MiniLM-L6-v2 untrained; the paper trains Instructor-xl, 60 times the size.`,
        ...(interval === undefined
          ? []
          : [
              `95 % of ${ours[0]?.name} at k = 1, by bootstrap over adapters: ${interval.map(end => end.toFixed(1)).join(' to ')}.`,
            ]),
      ],
    },
    data: { values },
    layer: [
      {
        mark: { type: 'line', strokeWidth: 2.5 },
        encoding: {
          ...encoding,
          strokeDash: {
            field: 'name',
            type: 'nominal',
            title: null,
            scale: { ...scale, range: strokes },
          },
        },
      },
      {
        mark: { type: 'point', filled: true, size: 50, opacity: 1 },
        encoding: { ...encoding, color: { ...encoding.color, legend: null } },
      },
    ],
  }
}
