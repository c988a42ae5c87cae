import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { tsne } from '../../pictures/tsne.ts'
import { random } from '../../src/cli/bench/random.ts'
import { temporaryFolder } from '../support/peft-files.ts'
import { root } from '../support/source.ts'

const timeout = 300_000

test('t-SNE keeps what is near together, apart from the rest, and is the same each time', () => {
  const next = random(3)
  const groups = 4
  const vectors = Array.from({ length: 60 }, (_, index) => {
    const values = Float32Array.from(
      { length: 8 },
      (_value, axis) => (axis === index % groups ? 1 : 0) + 0.2 * (next() - 0.5),
    )
    const length = Math.hypot(...values)
    return values.map(value => value / length)
  })
  const options = { perplexity: 8, iterations: 300, seed: 1 }
  const points = tsne(vectors, options)
  assert.deepEqual(tsne(vectors, options), points)
  for (const [index, [x, y]] of points.entries()) {
    assert.ok(Number.isFinite(x) && Number.isFinite(y))
    const distances = points.map(([otherX, otherY], other) => ({ other, far: Math.hypot(x - otherX, y - otherY) }))
    const [, ...nearest] = distances.toSorted((one, two) => one.far - two.far).slice(0, 6)
    for (const { other } of nearest) assert.equal(other % groups, index % groups, `${other} is next to ${index}`)
  }
})

test('pictures have a title, the numbers of the results, and text for light and dark', { timeout }, async t => {
  const folder = await temporaryFolder(t)
  const results = join(folder, 'results')
  for (const name of ['retrieval', 'generation']) await mkdir(join(results, name), { recursive: true })
  const write = (path: string, value: unknown) => writeFile(join(results, path), JSON.stringify(value))
  const top = { 1: 71.25, 3: 90, 5: 95, 8: 97 }
  await write('retrieval/one.json', {
    scorer: 'cosine<&>',
    n: 2395,
    top,
    interval: [65, 77],
    adapters: 48,
    fittedOn: 19,
    prefix: 'p: ',
  })
  const mixture = { strategy: 'mixture', k: 3, weights: 'softmax', tau: 0.05, n: 1240 }
  const score = { normalised: 71.4, normalisedInterval: [60, 80] }
  for (const mode of ['iid', 'ood', 'perfect'])
    await write(`generation/mixture-${mode}.json`, { ...mixture, mode, ...score })
  const points = [
    { kind: 'adapter', adapter: 'topics', group: 'short_words', x: 0, y: 0 },
    { kind: 'sample', adapter: 'topics', group: 'short_words', x: 1, y: 0 },
    { kind: 'prompt', adapter: 'topics', group: 'short_words', x: 1, y: 2, nearest: true },
  ]
  await write('map.json', { encoder: 'hash', method: 'by hand', points })

  const { status, stderr } = draw('--results', results, '--out', folder)
  assert.equal(status, 0, stderr)
  const expected: readonly (readonly [string, readonly RegExp[]])[] = [
    ['map.svg', [/<title>Adapters and prompts/, />topics</, />short words</, /1 of 1 are nearest/]],
    [
      'accuracy.svg',
      [
        /<desc>.*cosine&lt;&amp;&gt;, fitted on 19 of the 48 tasks 71\.25, 90\.00, 95\.00, 97\.00/,
        />paper, trained on all tasks</,
        /65\.0 to 77\.0/,
      ],
    ],
    ['strategies.svg', [/>mixture, k = 3, softmax 0\.05</, />71\.4</, /<desc>.*IID 71\.4; .*OOD 71\.4/]],
  ]
  for (const [name, patterns] of expected) {
    const svg = await readFile(join(folder, name), 'utf8')
    assert.match(svg, /^<svg [^>]*role="img"><title>/)
    assert.match(svg, /@media \(prefers-color-scheme: dark\)/)
    assert.match(svg, /fill="#1f2328"/)
    assert.doesNotMatch(svg, /NaN|undefined|aria-|<script/)
    for (const pattern of patterns) assert.match(svg, pattern, name)
  }

  await write('retrieval/one.json', { scorer: 'cosine', prefix: '', adapters: 1, fittedOn: 1, n: 1, top: { 1: 'x' } })
  const broken = draw('--results', results, '--out', folder)
  assert.equal(broken.status, 1)
  assert.match(broken.stderr, /one\.json: top: 1 is no number/)
})

/** Drawn by hand. */
const byHand = 'window.svg'

test(
  "the repository's pictures are drawn from its results, every one but the one that is drawn by hand",
  { timeout },
  async t => {
    const folder = await temporaryFolder(t)
    const { status, stderr } = draw('--out', folder)
    assert.equal(status, 0, stderr)
    const drawn = (await readdir(folder)).toSorted()
    const kept = (await readdir(join(root, 'docs'))).filter(name => name.endsWith('.svg') && name !== byHand)
    assert.deepEqual(drawn, kept.toSorted(), 'npm run pictures')
    for (const name of drawn)
      assert.equal(
        await readFile(join(folder, name), 'utf8'),
        await readFile(join(root, 'docs', name), 'utf8'),
        `docs/${name}: npm run pictures`,
      )
  },
)

function draw(...args: readonly string[]) {
  const command = ['--conditions=source', '--import', 'tsx', 'pictures/draw.ts', ...args]
  return spawnSync(process.execPath, command, { cwd: root, encoding: 'utf8' })
}
