import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { kafkaImage, registryImage } from '../../infra/containers.ts'
import { lorastream } from '../support/command-line.ts'

// Not run by this repository's CI: they are parsed, and held against the code that they name.

type Node = Readonly<Record<string, unknown>>

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null
}

/** What a path of keys leads to; fails where there is nothing. */
function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>((found, key) => {
    assert.ok(isNode(found) && key in found, `${path.join('.')}: no ${key}`)
    return found[key]
  }, value)
}

function node(value: unknown, ...path: readonly (string | number)[]): Node {
  const found = at(value, ...path)
  assert.ok(isNode(found), path.join('.'))
  return found
}

function texts(value: unknown): readonly string[] {
  assert.ok(Array.isArray(value))
  return value.map(String)
}

function read(path: string): readonly unknown[] {
  const documents = parseAllDocuments(readFileSync(path, 'utf8'), { merge: true })
  return [...documents].map(document => {
    assert.deepEqual(document.errors, [], path)
    const value: unknown = document.toJS()
    return value
  })
}

const dockerfile = readFileSync('Dockerfile', 'utf8')
const [compose] = read('infra/compose.yaml')
const manifests = readdirSync('infra/kubernetes').flatMap(name => read(join('infra/kubernetes', name)))
const kind = (name: string): Node => node(manifests.find(one => at(one, 'kind') === name))
const pod = node(kind('Deployment'), 'spec', 'template', 'spec')
const container = node(pod, 'containers', 0)
const instance = node(compose, 'services', 'lorastream')
const { stdout: help } = await lorastream(['run', '--help'])

/** The Dockerfile's last command in JSON after an instruction. */
function instruction(name: string): readonly string[] {
  const found = [...dockerfile.matchAll(new RegExp(`^${name} (\\[.*\\])$`, 'gm'))].at(-1)?.[1]
  assert.ok(found !== undefined, `Dockerfile: no ${name}`)
  const value: unknown = JSON.parse(found)
  return texts(value)
}

test('deploy: the commands of image, compose and Kubernetes are what "run --help" knows', () => {
  const known = new Set([...help.matchAll(/^ {2}(--[a-z-]+)/gm)].map(([, flag]) => flag))
  for (const args of [instruction('CMD'), texts(at(instance, 'command')), texts(at(container, 'args'))]) {
    assert.equal(args[0], 'run')
    assert.ok(existsSync(String(args[1]).replace('dist/', '').replace('.js', '.ts')), args[1])
    const flags = args.filter(arg => arg.startsWith('--')).map(arg => arg.split('=')[0] ?? '')
    assert.ok(flags.includes('--health-port') && flags.includes('--cache'))
    for (const flag of flags) assert.ok(known.has(flag), flag)
  }
  assert.deepEqual(instruction('ENTRYPOINT'), ['node', 'dist/cli.js'])
})

test('deploy: the environment that they set is the one that "run --help" tells of', () => {
  const variables = [
    ...Object.keys(node(instance, 'environment')),
    ...Object.keys(node(kind('ConfigMap'), 'data')),
    ...texts(Object.values(node(container, 'env')).map(one => at(one, 'name'))),
  ]
  assert.ok(variables.includes('KAFKA_BROKERS') && variables.includes('KAFKA_PASSWORD_FILE'))
  for (const name of variables) {
    const told = name.replace(/_FILE$/, '')
    assert.match(help, new RegExp(`\\b${told}\\b`), name)
    if (told !== name) assert.match(help, new RegExp(`NAME_FILE names one, for[^.]*\\b${told}\\b`), name)
  }
})

test('deploy: an instance has longer to end than to drain', () => {
  const drain = (args: readonly string[]): number =>
    Number(/--drain-seconds[=,](\d+)/.exec(args.join(','))?.[1] ?? assert.fail('no --drain-seconds'))
  assert.ok(Number(at(pod, 'terminationGracePeriodSeconds')) > drain(texts(at(container, 'args'))))
  const grace = Number.parseInt(String(at(instance, 'stop_grace_period')), 10)
  assert.ok(grace > drain(texts(at(instance, 'command'))))
})

test('deploy: probes ask what is served, at the port that is opened', () => {
  for (const [probe, path] of [
    ['livenessProbe', '/livez'],
    ['readinessProbe', '/readyz'],
  ] as const)
    assert.deepEqual(at(container, probe, 'httpGet'), { path, port: 'health' })
  assert.deepEqual(at(container, 'ports'), [{ name: 'health', containerPort: 8080 }])
  assert.ok(texts(at(container, 'args')).includes('--health-port=8080'))
  assert.match(dockerfile, /^EXPOSE 8080$/m)
  assert.match(dockerfile, /127\.0\.0\.1:8080\/readyz/)
})

test('deploy: every mount has its volume, every label its pods, and nothing runs as root', () => {
  const volumes = texts(Object.values(node(pod, 'volumes')).map(one => at(one, 'name')))
  const mounts = texts(Object.values(node(container, 'volumeMounts')).map(one => at(one, 'name')))
  assert.deepEqual(mounts.toSorted(), volumes.toSorted())
  const labels = at(kind('Deployment'), 'spec', 'template', 'metadata', 'labels')
  assert.deepEqual(at(kind('Deployment'), 'spec', 'selector', 'matchLabels'), labels)
  assert.deepEqual(at(kind('PodDisruptionBudget'), 'spec', 'selector', 'matchLabels'), labels)
  assert.equal(at(container, 'envFrom', 0, 'configMapRef', 'name'), at(kind('ConfigMap'), 'metadata', 'name'))
  assert.equal(at(pod, 'securityContext', 'runAsNonRoot'), true)
  assert.match(dockerfile, /^USER node$/m)
})

test('deploy: docs/deploy.md makes the secret that the pods read, key by key', () => {
  const wanted = new Set([...JSON.stringify(pod).matchAll(/"key":"([a-z.-]+)"/g)].map(([, key]) => key))
  const made = [...readFileSync('docs/deploy.md', 'utf8').matchAll(/--from-(?:file|literal)=([a-z.-]+)=/g)]
  assert.deepEqual(new Set(made.map(([, key]) => key)), wanted)
})

test('deploy: the compose file has the versions that tests run on, and a broker for containers and for this machine', () => {
  assert.equal(at(compose, 'services', 'broker', 'image'), kafkaImage)
  assert.equal(at(compose, 'services', 'registry', 'image'), registryImage)
  const listeners = String(at(compose, 'services', 'broker', 'environment', 'KAFKA_ADVERTISED_LISTENERS'))
  assert.match(listeners, /:\/\/broker:9093,.*:\/\/localhost:9092$/)
  for (const name of ['ui', 'topics', 'lorastream'])
    assert.match(JSON.stringify(at(compose, 'services', name, 'environment')), /"broker:9093"/, name)
  for (const name of ['topics', 'schemas'])
    assert.ok(
      existsSync(
        String(at(compose, 'services', name, 'entrypoint', 1))
          .replace('dist/', '')
          .replace('.js', '.ts'),
      ),
    )
})

test('deploy: the image copies what is there, and .dockerignore lets it through', () => {
  const allowed = readFileSync('.dockerignore', 'utf8')
    .split('\n')
    .filter(line => line.startsWith('!'))
    .map(line => line.slice(1))
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*)$/gm)].flatMap(([, files = '']) =>
    files.split(' ').slice(0, -1),
  )
  assert.ok(copied.length > 8)
  for (const path of copied) {
    assert.ok(existsSync(path), path)
    assert.ok(allowed.includes(path) || allowed.includes(dirname(path)), path)
  }
  assert.deepEqual(new Set(allowed), new Set(copied))
})
