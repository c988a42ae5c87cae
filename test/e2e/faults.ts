import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { openGrounds } from './ground.ts'
import { faults, plan, type Fault, type Plan } from './plan.ts'
import { deliveries, isClean } from './tally.ts'
import { trial, type Result } from './trial.ts'

const usage = `node … test/e2e/faults.ts [options]: trials of delivery under faults, a row for each; exit 1 when one lost, doubled,
disordered, wrongly dead-lettered or did not answer anything, or had no fault that can be made here.
  --trials N         how many (default: 1)
  --seed S           of the first; each next one has the next (default: a random one). The seed repeats a trial's plan
  --faults A,B       only these of ${faults.join(', ')}
  --brokers 1|3      by default as the seed says
  --delivery NAME    exactly-once (default) or at-least-once: then repetitions are counted, and allowed
  --engine-ms MS     what a window takes the stand-in (default: 30)
  --real             the demo's model in place of the stand-in, and fewer prompts
  --logs DIR         keeps what the instances say
  --plan             prints the plans, and runs nothing
  --json             a line of JSON for each trial in place of the table`

const { values } = parsed()
if (values.help) {
  process.stderr.write(`${usage}\n`)
  process.exit(0)
}
const asked = faultsOf(values.faults)
const [count, first, engineMs] = [whole('trials', 1), whole('seed', 0), whole('engine-ms', 0)]
const brokers = brokersOf(values.brokers)
const delivery =
  deliveries.find(name => name === values.delivery) ??
  refuse(`--delivery is "${values.delivery}", expected ${deliveries.join(' or ')}`)
// What was started ends with this process.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

function parsed() {
  try {
    return parseArgs({
      options: {
        trials: { type: 'string', default: '1' },
        seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
        faults: { type: 'string' },
        brokers: { type: 'string' },
        delivery: { type: 'string', default: 'exactly-once' },
        'engine-ms': { type: 'string', default: '30' },
        logs: { type: 'string' },
        real: { type: 'boolean', default: false },
        plan: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

function refuse(message: string): never {
  process.stderr.write(`${message}\n${usage}\n`)
  process.exit(2)
}

function whole(option: 'trials' | 'seed' | 'engine-ms', least: number): number {
  const value = values[option]
  if (/^\d{1,9}$/.test(value) && Number(value) >= least) return Number(value)
  return refuse(`--${option} is "${value}", expected a whole number from ${least} to 999999999`)
}

function brokersOf(value: string | undefined): 1 | 3 | undefined {
  if (value === undefined) return undefined
  return value === '1' ? 1 : value === '3' ? 3 : refuse(`--brokers is "${value}", expected 1 or 3`)
}

function faultsOf(value: string | undefined): readonly Fault[] {
  if (value === undefined) return faults
  for (const name of value.split(','))
    if (!faults.some(fault => fault === name)) refuse(`--faults has "${name}", expected some of ${faults.join()}`)
  return faults.filter(fault => value.split(',').includes(fault))
}

function planOf(seed: number, kinds: readonly Fault[]): Plan {
  const shape = values.real ? { prompts: 108, poison: ['bytes', 'schema'] as const } : { prompts: 2160 }
  return plan({ seed, kinds, ms: 20_000, ...shape, ...(brokers !== undefined && { brokers }) })
}

/** What happened to whom, `kill+stop+…`. */
function story({ instances, ground }: Plan): string {
  const names = [...instances, ...ground].map(({ fault }) => fault)
  return faults
    .filter(fault => names.includes(fault))
    .map(fault => `${names.filter(name => name === fault).length} ${fault}`)
    .join(', ')
}

const columns = ['prompts', 'poison', 'lost', 'unanswered', 'duplicated', 'outOfOrder', 'wronglyDead', 'wrong'] as const
const more = ['gaveUp', 'stuck'] as const

function row(seed: number, drawn: Plan, result: Result, seconds: number): string {
  const cells = [seed, drawn.brokers, story(drawn), ...[...columns, ...more].map(name => result[name]), seconds]
  return `| ${cells.join(' | ')} |`
}

const trials = Array.from({ length: count }, (_, index) => first + index)
if (values.plan) for (const seed of trials) process.stdout.write(`${JSON.stringify(planOf(seed, asked), null, 1)}\n`)
else {
  const grounds = await openGrounds()
  try {
    for (const [fault, reason] of grounds.missing) process.stderr.write(`!! LEFT OUT: ${fault}: ${reason}\n`)
    const kinds = asked.filter(fault => !grounds.missing.has(fault))
    if (!values.json) {
      const heads = ['seed', 'brokers', 'faults', ...columns, ...more, 'seconds']
      process.stdout.write(
        `${kinds.length} kinds of faults, ${cpus().length} cores, load ${loadavg()[0]?.toFixed(1)}\n\n`,
      )
      process.stdout.write(`| ${heads.join(' | ')} |\n|${heads.map(() => ' --- |').join('')}\n`)
    }
    for (const seed of trials) {
      const started = Date.now()
      const drawn = planOf(seed, kinds)
      if (drawn.instances.length + drawn.ground.length === 0) {
        process.stderr.write(
          `!! NOT TRIED: seed ${seed}: ${asked.join()}: none can be made on ${drawn.brokers} broker(s) here\n`,
        )
        process.exitCode = 1
        continue
      }
      const ground = await grounds.ground(drawn.brokers)
      const result = await trial(`trial-${seed}`, ground, drawn, {
        roundMs: values.real ? 3000 : 300,
        engineMs,
        delivery,
        real: values.real,
        ...(values.logs !== undefined && { logs: values.logs }),
      })
      const seconds = Math.round((Date.now() - started) / 1000)
      const line = values.json
        ? JSON.stringify({ seed, brokers: drawn.brokers, faults: story(drawn), ...result, seconds })
        : row(seed, drawn, result, seconds)
      process.stdout.write(`${line}\n`)
      if (!isClean(result, delivery) || result.gaveUp + result.stuck > 0) process.exitCode = 1
    }
  } finally {
    await grounds.stop()
  }
}
