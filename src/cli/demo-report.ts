import type { Completion, Prompt, Receipt } from '../events.ts'
import type { Terminal } from './terminal.ts'

/** A window as the demo follows it: what was settled, and what came out of the topic of completions and of dead letters. */
export type Settlement = {
  readonly number: number
  readonly receipt: Receipt
  readonly completions: readonly Completion[]
  readonly dead: readonly DeadLetter[]
}

export type DeadLetter = { readonly prompt: Prompt | undefined; readonly code: string; readonly reason: string }

type Style = Pick<Terminal, 'paint' | 'width'>

/** Where the second column begins. */
const INDENT = 14

/** A window's prompts with their answers, a blank line between them. */
export function windowReport(settlement: Settlement, prompts: ReadonlyMap<string, Prompt>, style: Style): string {
  const { number, receipt, completions, dead } = settlement
  const { paint } = style
  const { infer = 0, retrieve = 0 } = receipt.ms
  const distinct = completions[0]?.provenance.window.distinctAdapters ?? 0
  const facts = [
    `${receipt.answered + receipt.failed} prompts`,
    `closed by ${receipt.closedBy}`,
    `${distinct} adapters`,
    `retrieve ${count(retrieve)} ms`,
    `infer ${count(infer)} ms`,
    `${count(rate(receipt.newTokens, infer))} tokens/s`,
  ]
  const rows = [
    ...completions.map(completion => answerReport(completion, prompts.get(completion.promptId), style)),
    ...dead.map(({ prompt, code, reason }) =>
      [
        paint.bold(prompt?.id ?? '?'),
        row('dim', '  prompt', fitEnds(prompt?.text ?? '', style), style),
        row('dim', '  failed', paint.red(`${code}: ${reason}`), style),
      ].join('\n'),
    ),
  ]
  return [paint.cyan(`window ${number}: ${facts.join(', ')}`), ...rows, ''].join('\n\n').trimEnd()
}

function answerReport(completion: Completion, prompt: Prompt | undefined, style: Style): string {
  const { paint } = style
  const { target, task } = completion.metadata
  const right = target !== undefined && isSame(completion.text, target)
  const lines = [
    paint.bold(completion.promptId),
    row('dim', '  prompt', fitEnds(prompt?.text ?? '', style), style),
    row('dim', '  answer', `${fit(completion.text, style, 11)}${right ? paint.green('  = target') : ''}`, style),
  ]
  if (target !== undefined && !right) lines.push(row('dim', '  target', fit(target, style), style))
  const used = completion.provenance.adapters.map(({ id, weight, score }) => {
    const text = `${id} ${weight.toFixed(2)}${score === null ? '' : ` (${score.toFixed(2)})`}`
    return { text, shown: id === task ? paint.bold(text) : text }
  })
  lines.push(...columns(used, style).map((text, index) => row('dim', index === 0 ? '  adapters' : '', text, style)))
  if (used.length === 0) lines.push(row('dim', '  adapters', 'none: the base model alone', style))
  return lines.join('\n')
}

/** What all windows together came to. */
export function summary(settlements: readonly Settlement[], seconds: number, style: Style): string {
  const completions = settlements.flatMap(settlement => settlement.completions)
  const dead = settlements.flatMap(settlement => settlement.dead)
  const newTokens = settlements.reduce((sum, { receipt }) => sum + receipt.newTokens, 0)
  const used = new Set(completions.flatMap(({ provenance }) => provenance.adapters.map(({ id }) => id)))
  const pool = completions[0]?.provenance.pool.size ?? 0
  const labelled = completions.filter(({ metadata }) => metadata['target'] !== undefined)
  const right = labelled.filter(({ text, metadata }) => isSame(text, metadata['target'] ?? ''))
  const found = (among: number): number =>
    labelled.filter(({ metadata: { task }, provenance: { adapters } }) =>
      adapters.slice(0, among).some(({ id }) => id === task),
    ).length
  const lines = [
    [
      'answers',
      `${completions.length} of ${completions.length + dead.length} prompts in ${settlements.length} windows, ${dead.length} failed`,
    ],
    [
      'speed',
      `${newTokens} new tokens in ${seconds.toFixed(1)} s: ${count(rate(newTokens, seconds * 1000))} tokens/s, retrieval included`,
    ],
    ['adapters', `${used.size} of ${pool} took part`],
    [
      'retrieval',
      `the task's own adapter came first for ${found(1)} of ${labelled.length} prompts, and took part for ${found(Infinity)}`,
    ],
    [
      'targets',
      `${right.length} of ${labelled.length} answers equal their target; many are free sentences, which seldom do`,
    ],
  ] as const
  return [style.paint.cyan('summary'), ...lines.map(([name, text]) => row('bold', `  ${name}`, text, style))].join('\n')
}

/** What to do next. `command` is how lorastream is called here. */
export function nextSteps(command: string, style: Style): string {
  const lines = [
    ['prompts', `echo '{"text":"Write a sentence with: dog, ball, park"}' | ${command} complete`],
    ['search', `${command} search "Write a sentence with: dog, ball, park"`],
    ['adapters', `your PEFT directories, samples.jsonl in each: ${command} check --adapters DIR`],
    ['base', 'your own: --model DIR (Hugging Face) or --model FILE.gguf'],
    ['topology', 'topologies/mixture.ts is what ran: copy it, change a line'],
    ['Kafka', `the same on a broker and a registry: ${command} demo --kafka`],
    ['service', `${command} run topologies/mixture.ts, see docs/deploy.md`],
  ] as const
  return [style.paint.cyan('go on'), ...lines.map(([name, text]) => row('bold', `  ${name}`, text, style))].join('\n')
}

/** Whether two answers are the same but for case, white space and the last full stop. */
export function isSame(answer: string, target: string): boolean {
  return plain(answer) === plain(target)
}

function plain(text: string): string {
  return text.trim().replace(/\s+/g, ' ').replace(/ ?\.$/, '').toLowerCase()
}

function row(how: 'bold' | 'dim', name: string, text: string, { paint }: Style): string {
  return `${paint[how](name.padEnd(INDENT))}${text}`
}

/** A text on one line, cut to the width that is left. */
function fit(text: string, { width }: Style, spare = 0): string {
  const line = oneLine(text)
  const room = width - INDENT - spare
  return line.length <= room ? line : `${line.slice(0, room - 1)}…`
}

/** A text on one line, cut in the middle: the question is at one end, seldom in between. */
function fitEnds(text: string, { width }: Style): string {
  const line = oneLine(text)
  const room = width - INDENT
  if (line.length <= room) return line
  const head = Math.ceil(room * 0.6)
  return `${line.slice(0, head)} … ${line.slice(line.length - (room - head - 3))}`
}

function oneLine(text: string): string {
  return text.trim().replace(/[\s\p{Cc}]+/gu, ' ')
}

function columns(
  cells: readonly { readonly text: string; readonly shown: string }[],
  { width }: Style,
): readonly string[] {
  const lines: string[] = []
  let length = Infinity
  for (const { text, shown } of cells) {
    if (length + text.length + 3 > width) {
      lines.push(shown)
      length = INDENT + text.length
    } else {
      lines.push(`${lines.pop() ?? ''} · ${shown}`)
      length += text.length + 3
    }
  }
  return lines
}

function rate(tokens: number, ms: number): number {
  return ms === 0 ? 0 : (tokens / ms) * 1000
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en')
}
