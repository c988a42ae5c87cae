import type { TopLevelSpec } from 'vega-lite'
import { intervalAt, numberAt, textAt } from './json-file.ts'
import type { JsonObject } from '../src/hf/json.ts'
import { paperStrategies } from './paper.ts'
import { ink, palette, soft } from './svg.ts'

/** One row of the picture, in percent of what each item's own adapter scores. */
export type StrategyScore = {
  readonly name: string
  readonly strategy: string
  readonly mode: 'iid' | 'ood'
  readonly n: number
  readonly value: number
  readonly low: number
  readonly high: number
}

const panels = { iid: 'own adapter in the pool (IID)', ood: 'own adapter left out (OOD)' } as const

/** A result of `evaluate generation --json`, or nothing where it is perfect selection. @throws Error naming file and field. */
export function strategyScoreOf(where: string, result: JsonObject): StrategyScore | undefined {
  const mode = textAt(where, result, 'mode')
  if (mode !== 'iid' && mode !== 'ood') return undefined
  const strategy = textAt(where, result, 'strategy')
  const k = numberAt(where, result, 'k')
  const softened = result['weights'] === 'softmax' ? `, softmax ${numberAt(where, result, 'tau')}` : ''
  const [low, high] = intervalAt(where, result, 'normalisedInterval')
  return {
    name: strategy === 'base' || strategy === 'selection' ? strategy : `${strategy}, k = ${k}${softened}`,
    strategy,
    mode,
    n: numberAt(where, result, 'n'),
    value: numberAt(where, result, 'normalised'),
    low,
    high,
  }
}

/** The strategies side by side, with and without the own adapter in the pool; intervals, and the paper's means as rings. */
export function strategiesSpec(scores: readonly StrategyScore[]): TopLevelSpec {
  const order = ['base', 'selection', 'mixture', 'fusion']
  const rank = ({ strategy }: StrategyScore): number =>
    order.includes(strategy) ? order.indexOf(strategy) : order.length
  const rows = scores.toSorted((one, other) => rank(one) - rank(other) || (one.name < other.name ? -1 : 1))
  const names = [...new Set(rows.map(({ name }) => name))]
  const strategies = [...new Set(rows.map(({ strategy }) => strategy))]
  const paper = paperStrategies.flatMap(({ strategy, iid, ood }) => {
    const name = names.find(found => found === strategy || found === `${strategy}, k = 3`)
    return name === undefined
      ? []
      : [
          { name, panel: panels.iid, paper: iid },
          { name, panel: panels.ood, paper: ood },
        ]
  })
  const y = {
    field: 'name',
    type: 'nominal',
    title: null,
    scale: { domain: names },
    axis: { labelColor: ink, ticks: false, domain: false, grid: true },
  } as const
  const percent: [number, number] = [0, 120]
  const x = { type: 'quantitative', scale: { domain: percent, clamp: true } } as const
  const title = '% of what the own adapter scores'
  const color = {
    field: 'strategy',
    type: 'nominal',
    scale: { domain: strategies, range: [...palette] },
    legend: null,
  } as const
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title: {
      text: 'Strategies side by side',
      subtitle: [
        `Dots and 95 % intervals: SmolLM2-135M, ${rows[0]?.n.toLocaleString('en') ?? 0} items of 31 tasks.`,
        "Rings: the paper's means on Llama-2-7b, 48 tasks, k = 3.",
      ],
    },
    data: { values: [...rows.map(row => ({ ...row, panel: panels[row.mode] })), ...paper] },
    facet: { column: { field: 'panel', type: 'nominal', title: null, sort: [panels.iid, panels.ood] } },
    spacing: 28,
    spec: {
      width: 300,
      height: { step: 30 },
      layer: [
        {
          transform: [{ filter: 'isValid(datum.value)' }],
          mark: { type: 'rule', strokeWidth: 2.5, opacity: 0.75 },
          encoding: { y, x: { ...x, field: 'low', title }, x2: { field: 'high' }, color },
        },
        {
          transform: [{ filter: 'isValid(datum.value)' }],
          mark: { type: 'circle', size: 110, opacity: 1 },
          encoding: { y, x: { ...x, field: 'value', title }, color },
        },
        {
          transform: [{ filter: 'isValid(datum.value)' }],
          mark: { type: 'text', dy: -11, fontSize: 11, color: ink },
          encoding: {
            y,
            x: { ...x, field: 'value', title },
            text: { field: 'value', type: 'quantitative', format: '.1f' },
          },
        },
        {
          transform: [{ filter: 'isValid(datum.paper)' }],
          mark: { type: 'point', size: 80, stroke: soft, strokeWidth: 1.8, filled: false },
          encoding: { y, x: { ...x, field: 'paper', title } },
        },
      ],
    },
  }
}
