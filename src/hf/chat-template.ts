import { createContext, runInContext } from 'node:vm'
import * as library from '@huggingface/jinja'
import { ModelError } from '../errors.ts'
import { shown } from './json.ts'
import type { ChatTemplateFile, TokenizerFiles } from './tokenizer-files.ts'
import type { TextPart, Tokenizer } from './tokenizer.ts'

/** A message of the user's, and what the model should be told before. */
export type ChatPrompt = { readonly text: string; readonly system?: string }

/** A model's chat template, ready for prompts. */
export type ChatTemplate = {
  /**
   * The ids of a conversation that begins with this prompt and waits for the answer: those of transformers'
   * `apply_chat_template`, but that names of special tokens in the prompt's own texts are plain text.
   * @throws ModelError when the template has no place for a system message.
   */
  encode(prompt: ChatPrompt): number[]
  /** The same as text. */
  render(prompt: ChatPrompt): string
}

/** What is used of the library, whose own types do not resolve under nodenext. */
type Jinja = {
  tokenize(text: string, options: { readonly lstrip_blocks: boolean; readonly trim_blocks: boolean }): unknown
  parse(tokens: unknown): unknown
  readonly Environment: new () => { set(name: string, value: unknown): unknown }
  readonly Interpreter: new (environment: unknown) => { run(program: unknown): { readonly value: unknown } }
}

// The module has an unresolved type, and gets the narrow one above; every test of this file runs each member.
// oxlint-disable-next-line typescript/no-unsafe-type-assertion
const jinja = library as unknown as Jinja

/** Templates take milliseconds; one that loops shall not keep the model from being refused. */
const MAX_RENDER_MS = 2000

/** Templates count messages. */
const MAX_RANGE = 10_000

/** What stands for a text while the template is laid out: the template must not know it, so as not to change it. */
const MARK = { text: '\uE0F0text\uE0F1', system: '\uE0F0system\uE0F1' } as const

/** White space around a mark tells whether the template trims what it is given. */
const EDGE = '\u2003'

type Role = keyof typeof MARK

/** A template's own words, or the place of one of the prompt's texts. */
type Piece = string | { readonly role: Role; readonly trimLeft: boolean; readonly trimRight: boolean }

/**
 * Reads the chat template that comes with a tokenizer; `null` when there is none. It is rendered here, once with a
 * system message and once without, around marks in place of the texts: prompts never meet the template's own language.
 * No date is told to it.
 * @throws ModelError when it cannot be rendered, or does not show the text once and as it is.
 */
export function openChatTemplate(files: TokenizerFiles, tokenizer: Tokenizer): ChatTemplate | null {
  const template = files.chatTemplate
  if (template === null) return null
  const variables = {
    ...(files.bosToken !== null && { bos_token: files.bosToken }),
    ...(files.eosToken !== null && { eos_token: files.eosToken }),
  }
  const alone = layOut(template, variables, ['text'])
  let withSystem: readonly Piece[] | ModelError
  try {
    withSystem = layOut(template, variables, ['system', 'text'])
  } catch (error) {
    if (!(error instanceof ModelError)) throw error
    withSystem = error
  }

  function partsOf(prompt: ChatPrompt): TextPart[] {
    const pieces = prompt.system === undefined ? alone : withSystem
    if (pieces instanceof ModelError)
      throw new ModelError(`${pieces.message} (with a system message)`, { cause: pieces })
    return pieces.map(piece => {
      if (typeof piece === 'string') return { text: piece, special: true }
      return { text: trim(prompt[piece.role] ?? '', piece), special: false }
    })
  }
  return {
    encode: prompt => tokenizer.encodeParts(partsOf(prompt)),
    render: prompt => partsOf(prompt).reduce((whole, { text }) => whole + text, ''),
  }
}

/** The template's output for messages of these roles, cut at their places. */
function layOut(
  template: ChatTemplateFile,
  variables: Readonly<Record<string, string>>,
  roles: readonly Role[],
): Piece[] {
  const messages = roles.map(role => ({
    role: role === 'text' ? 'user' : role,
    content: EDGE + MARK[role] + EDGE,
  }))
  const output = render(template, { ...variables, messages, add_generation_prompt: true, tools: null, documents: null })
  const places = roles.map(role => {
    const at = output.indexOf(MARK[role])
    if (at >= 0 && !output.includes(MARK[role], at + 1)) return { role, at }
    const what = role === 'text' ? "the user's" : 'the system'
    throw new ModelError(`${template.source}: does not show ${what} message once and as it is`)
  })
  const pieces: Piece[] = []
  let end = 0
  for (const { role, at } of places.toSorted((a, b) => a.at - b.at)) {
    const trimLeft = output[at - 1] !== EDGE
    const after = at + MARK[role].length
    const trimRight = output[after] !== EDGE
    pieces.push(output.slice(end, trimLeft ? at : at - 1), { role, trimLeft, trimRight })
    end = trimRight ? after : after + 1
  }
  return [...pieces, output.slice(end)]
}

function render(template: ChatTemplateFile, variables: Readonly<Record<string, unknown>>): string {
  const work = (): string => {
    const environment = new jinja.Environment()
    // As transformers sets them, without `strftime_now`.
    const globals = {
      true: true,
      True: true,
      false: false,
      False: false,
      none: null,
      None: null,
      raise_exception,
      range,
    }
    for (const [name, value] of Object.entries({ ...globals, ...variables })) environment.set(name, value)
    const program = jinja.parse(jinja.tokenize(template.text, { lstrip_blocks: true, trim_blocks: true }))
    return String(new jinja.Interpreter(environment).run(program).value)
  }
  try {
    // Not a sandbox, for the interpreter is one: only `vm` can stop synchronous work after a time.
    return String(runInContext('work()', createContext({ work }), { timeout: MAX_RENDER_MS }))
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new ModelError(`${template.source}: the chat template fails: ${shown(reason)}`, { cause })
  }
}

function raise_exception(message: unknown): never {
  throw new Error(String(message))
}

/** Python's `range`, for as many numbers as a template can need. */
function range(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop]
  const length = Math.max(0, Math.ceil((to - from) / step))
  if (!(length <= MAX_RANGE)) throw new Error(`range of ${length} numbers, expected at most ${MAX_RANGE}`)
  return Array.from({ length }, (_, index) => from + index * step)
}

/** What Python's `str.strip` takes for white space. */
const SPACES = new Set(
  '\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000',
)

function trim(text: string, sides: { readonly trimLeft: boolean; readonly trimRight: boolean }): string {
  let start = 0
  let end = text.length
  while (sides.trimLeft && start < end && SPACES.has(text[start] ?? '')) start++
  while (sides.trimRight && end > start && SPACES.has(text[end - 1] ?? '')) end--
  return text.slice(start, end)
}
