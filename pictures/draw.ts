import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { accuracyOf, accuracySpec } from './accuracy.ts'
import { readJson } from './json-file.ts'
import { mapOf } from './map-points.ts'
import { mapSpec } from './map.ts'
import { parseMap } from './parse-map.ts'
import { strategiesSpec, strategyScoreOf } from './strategies.ts'
import { drawSvg } from './svg.ts'

const help = `Usage: npm run pictures -- [options]

Draws docs/map.svg, docs/accuracy.svg and docs/strategies.svg from results in JSON.

  --results DIR   results (docs/results): map.json, retrieval/*.json of "evaluate retrieval --json",
                  generation/*.json of "evaluate generation --json"; what is not there is not drawn
  --out DIR       where the pictures go (docs)
  --map DIR       first place the adapters of DIR and its prompts.jsonl anew, into map.json of the results
  --encoder DIR   for --map (models/all-minilm-l6-v2)
`

const { values: options } = parseArgs({
  options: {
    results: { type: 'string', default: 'docs/results' },
    out: { type: 'string', default: 'docs' },
    map: { type: 'string' },
    encoder: { type: 'string', default: 'models/all-minilm-l6-v2' },
    help: { type: 'boolean', default: false },
  },
})

if (options.help) process.stdout.write(help)
else await draw()

async function draw(): Promise<void> {
  const { results, out } = options
  const mapFile = join(results, 'map.json')
  if (options.map !== undefined) {
    await mkdir(results, { recursive: true })
    const map = await mapOf(options.map, options.encoder)
    const points = map.points.map(point => JSON.stringify(point)).join(',\n')
    const facts = JSON.stringify({ encoder: map.encoder, method: map.method })
    await writeFile(mapFile, `${facts.slice(0, -1)},"points":[\n${points}\n]}\n`)
  }

  if ((await readdir(results)).includes('map.json')) {
    const map = parseMap(mapFile, await readJson(mapFile))
    const adapters = map.points.filter(({ kind }) => kind === 'adapter').length
    await write(
      'map.svg',
      await drawSvg(
        mapSpec(map),
        'Adapters and prompts in the embedding space',
        `A map of ${adapters} adapters, their samples and held-out prompts; tasks of a kind lie together.`,
      ),
    )
  }

  const accuracies = (await read('retrieval')).map(([path, result]) => accuracyOf(path, result))
  if (accuracies.length > 0) {
    const told = accuracies
      .map(
        ({ name, top }) =>
          `${name} ${Object.values(top)
            .map(share => share.toFixed(2))
            .join(', ')}`,
      )
      .join('; ')
    await write(
      'accuracy.svg',
      await drawSvg(
        accuracySpec(accuracies),
        'Retrieval: accuracy against k',
        `Percent of prompts whose adapter is among the first 1, 3, 5 and 8: ${told}.`,
      ),
    )
  }

  const scores = (await read('generation')).flatMap(([path, result]) => strategyScoreOf(path, result) ?? [])
  if (scores.length > 0) {
    const told = scores.map(({ name, mode, value }) => `${name} ${mode.toUpperCase()} ${value.toFixed(1)}`).join('; ')
    await write(
      'strategies.svg',
      await drawSvg(
        strategiesSpec(scores),
        'Strategies side by side',
        `Scores in percent of the own adapter's: ${told}.`,
      ),
    )
  }

  async function read(folder: string) {
    const names = (await readdir(results)).includes(folder) ? await readdir(join(results, folder)) : []
    const paths = names
      .filter(name => name.endsWith('.json'))
      .toSorted()
      .map(name => join(results, folder, name))
    return await Promise.all(paths.map(async path => [path, await readJson(path)] as const))
  }

  async function write(name: string, svg: string): Promise<void> {
    await mkdir(out, { recursive: true })
    await writeFile(join(out, name), svg)
    process.stdout.write(`${join(out, name)}\n`)
  }
}
