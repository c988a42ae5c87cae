import type { TopLevelSpec } from 'vega-lite'
import type { AdapterMap, MapPoint } from './map-points.ts'
import { ink, palette } from './svg.ts'

const WIDTH = 760
const HEIGHT = 560
/** Of a letter of the labels, in pixels. */
const LETTER = 6.6
const FONT = 11

/** The retrieval map: adapters with their names, samples faint, held-out prompts as diamonds, a colour for each group. */
export function mapSpec({ encoder, method, points }: AdapterMap): TopLevelSpec {
  const xs = points.map(({ x }) => x)
  const ys = points.map(({ y }) => y)
  const [domainX, domainY] = [domain(xs), domain(ys)]
  const groups = [...new Set(points.map(({ group }) => spaced(group)))].toSorted()
  const prompts = points.filter(({ kind }) => kind === 'prompt')
  const right = prompts.filter(({ nearest }) => nearest === true).length
  const colours: string[] = [...palette]
  const shared = {
    x: { field: 'x', type: 'quantitative', axis: null, scale: { domain: domainX, nice: false } },
    y: { field: 'y', type: 'quantitative', axis: null, scale: { domain: domainY, nice: false } },
    color: {
      field: 'group',
      type: 'nominal',
      title: 'group of tasks',
      scale: { domain: groups, range: colours },
      legend: { orient: 'right', symbolType: 'circle', symbolOpacity: 1, symbolSize: 110 },
    },
  } as const
  const shape = {
    field: 'what',
    type: 'nominal',
    title: null,
    scale: {
      domain: ['adapter', 'one of its samples', 'prompt, its adapter nearest', 'prompt, another nearest'],
      range: ['circle', 'circle', 'diamond', 'cross'],
    },
    legend: null,
  } as const
  const labels = labelled(
    points.filter(({ kind }) => kind === 'adapter'),
    ({ x, y }) => [
      ((x - domainX[0]) / (domainX[1] - domainX[0])) * WIDTH,
      (1 - (y - domainY[0]) / (domainY[1] - domainY[0])) * HEIGHT,
    ],
  )
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width: WIDTH,
    height: HEIGHT,
    title: {
      text: 'Adapters and prompts in the embedding space',
      subtitle: [
        `Large circles: adapters, at the mean of their samples (small dots). Diamonds: held-out prompts; ${right} of ${prompts.length} are nearest to their own adapter.`,
        `Crosses: those that are nearer to another. ${encoder}, ${method}: near is alike, far says little.`,
      ],
    },
    data: { values: points.map(point => ({ ...point, group: spaced(point.group), what: whatOf(point) })) },
    layer: [
      {
        transform: [{ filter: "datum.kind === 'sample'" }],
        mark: { type: 'circle', size: 16, opacity: 0.45 },
        encoding: shared,
      },
      {
        transform: [{ filter: "datum.kind === 'prompt'" }],
        mark: { type: 'point', filled: true, size: 75, opacity: 1, stroke: ink, strokeWidth: 0.8 },
        encoding: { ...shared, shape },
      },
      {
        transform: [{ filter: "datum.kind === 'adapter'" }],
        mark: { type: 'circle', size: 230, opacity: 0.9, stroke: ink, strokeWidth: 1.2 },
        encoding: shared,
      },
      ...labels,
    ],
  }

  /** A layer for each label, for each has its own side. */
  function labelled(adapters: readonly MapPoint[], pixelsOf: (point: MapPoint) => readonly [number, number]) {
    const taken: Box[] = adapters.map(point => around(pixelsOf(point), 9))
    return adapters.map(point => {
      const [x, y] = pixelsOf(point)
      const half = (point.adapter.length * LETTER) / 2
      const sides = [
        { dx: 0, dy: -16 },
        { dx: 0, dy: 16 },
        { dx: 13 + half, dy: 0 },
        { dx: -13 - half, dy: 0 },
        { dx: 0, dy: -29 },
        { dx: 0, dy: 29 },
        { dx: half, dy: -20 },
        { dx: -half, dy: -20 },
        { dx: half, dy: 20 },
        { dx: -half, dy: 20 },
      ]
      const boxes = sides.map(({ dx, dy }) => ({
        box: { left: x + dx - half, right: x + dx + half, top: y + dy - 7, bottom: y + dy + 7 },
        dx,
        dy,
      }))
      const [best] = boxes
        .map((side, order) => ({ ...side, cost: costOf(side.box, taken) * 10 + order }))
        .toSorted((one, other) => one.cost - other.cost)
      taken.push(best?.box ?? around([x, y], 0))
      return {
        data: { values: [point] },
        mark: {
          type: 'text',
          text: point.adapter,
          fontSize: FONT,
          fontWeight: 600,
          dx: best?.dx ?? 0,
          dy: best?.dy ?? 0,
          color: ink,
        },
        encoding: { x: shared.x, y: shared.y },
      } as const
    })
  }
}

function whatOf({ kind, nearest }: MapPoint): string {
  if (kind !== 'prompt') return kind === 'adapter' ? 'adapter' : 'one of its samples'
  return nearest === true ? 'prompt, its adapter nearest' : 'prompt, another nearest'
}

type Box = { readonly left: number; readonly right: number; readonly top: number; readonly bottom: number }

function around([x, y]: readonly [number, number], radius: number): Box {
  return { left: x - radius, right: x + radius, top: y - radius, bottom: y + radius }
}

/** From the least to the greatest, and a little more. */
function domain(values: readonly number[]): [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)]
  const margin = 0.04 * (high - low)
  return [low - margin, high + margin]
}

/** How many boxes it would cover; beyond the picture is as bad as three. */
function costOf(box: Box, taken: readonly Box[]): number {
  const beyond = box.left < 0 || box.right > WIDTH || box.top < 0 || box.bottom > HEIGHT ? 3 : 0
  return (
    beyond +
    taken.filter(
      other => box.left < other.right && box.right > other.left && box.top < other.bottom && box.bottom > other.top,
    ).length
  )
}

const spaced = (name: string): string => name.replaceAll('_', ' ')
