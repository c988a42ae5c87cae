import { join } from 'node:path'
import { ModelError } from '../errors.ts'
import { isObject, parseJsonObject, shown, type Fail, type JsonObject } from './json.ts'
import { readWhole } from './weight-file.ts'

/** What a model or an encoder says about its tokens. */
export type TokenizerFiles = {
  /** Where it came from, for messages. */
  readonly source: string
  /** In the form of `tokenizer.json`. */
  readonly json: JsonObject
  /** The texts of the tokens that begin and end a sequence, for the chat template. */
  readonly bosToken: string | null
  readonly eosToken: string | null
  readonly chatTemplate: ChatTemplateFile | null
}

/** A Jinja template and the file that it came from. */
export type ChatTemplateFile = { readonly source: string; readonly text: string }

/** The largest vocabularies, of a quarter of a million tokens, take some 35 MB. */
const MAX_TOKENIZER_BYTES = 128 * 1024 * 1024

/** It repeats the added tokens, a few thousand at most. */
const MAX_CONFIG_BYTES = 4 * 1024 * 1024

/** The longest templates, with tools and reasoning, have some 20 KB. */
export const MAX_TEMPLATE_BYTES = 256 * 1024

const fail: Fail = (message, options) => new ModelError(message, options)

/**
 * The `tokenizer.json` of a directory, with what `tokenizer_config.json` and `chat_template.jinja` add to it.
 * @throws ModelError when there is no `tokenizer.json`, or one of them is damaged.
 */
export async function readTokenizerFiles(directory: string): Promise<TokenizerFiles> {
  const source = join(directory, 'tokenizer.json')
  const bytes = await readWhole(source, MAX_TOKENIZER_BYTES, fail)
  if (bytes === undefined) throw new ModelError(`${source}: not found, expected the tokenizer in this form`)
  const configFile = join(directory, 'tokenizer_config.json')
  const configBytes = await readWhole(configFile, MAX_CONFIG_BYTES, fail)
  const config = configBytes === undefined ? {} : parseJsonObject(configFile, configBytes, fail)
  return {
    source,
    json: parseJsonObject(source, bytes, fail),
    bosToken: tokenText(`${configFile}: bos_token`, config['bos_token']),
    eosToken: tokenText(`${configFile}: eos_token`, config['eos_token']),
    chatTemplate: (await templateFile(directory)) ?? templateOf(configFile, config['chat_template']),
  }
}

async function templateFile(directory: string): Promise<ChatTemplateFile | null> {
  const source = join(directory, 'chat_template.jinja')
  const bytes = await readWhole(source, MAX_TEMPLATE_BYTES, fail)
  return bytes === undefined ? null : checkTemplate(source, new TextDecoder().decode(bytes))
}

/** A string, or a list of named ones, of which `default` is meant. */
function templateOf(file: string, value: unknown): ChatTemplateFile | null {
  const source = `${file}: chat_template`
  if (value == null) return null
  if (typeof value === 'string') return checkTemplate(source, value)
  if (!Array.isArray(value)) throw new ModelError(`${source} is ${shown(value)}, expected a string or a list`)
  const named: unknown = value.find(item => isObject(item) && item['name'] === 'default')
  const template = isObject(named) ? named['template'] : undefined
  if (typeof template !== 'string') throw new ModelError(`${source}: no template named "default"`)
  return checkTemplate(source, template)
}

/** The template, when it is not too long. */
export function checkTemplate(source: string, text: string): ChatTemplateFile {
  if (text.length > MAX_TEMPLATE_BYTES) {
    throw new ModelError(`${source}: ${text.length} characters, expected at most ${MAX_TEMPLATE_BYTES}`)
  }
  return { source, text }
}

/** A token is given as its text, or as an object with more about it. */
function tokenText(where: string, value: unknown): string | null {
  const text = isObject(value) ? value['content'] : value
  if (text == null) return null
  if (typeof text !== 'string') throw new ModelError(`${where} is ${shown(value)}, expected a string`)
  return text
}
