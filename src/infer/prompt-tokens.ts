import { PromptTooLongError, SchemaError } from '../errors.ts'
import type { ChatTemplate } from '../hf/chat-template.ts'
import type { ModelConfig } from '../hf/model-config.ts'
import type { Tokenizer } from '../hf/tokenizer.ts'
import type { Row } from '../ports.ts'

/** How text becomes a prompt: through the model's chat template, or as it is. */
export type Template = 'chat' | 'raw'

export type PromptEncoder = {
  readonly tokenizer: Tokenizer
  /** `null`: text as it is. */
  readonly chat: ChatTemplate | null
  readonly config: ModelConfig
}

/**
 * A row's prompt tokens.
 * @throws PromptTooLongError when they and the new tokens exceed the context, found before tokenising where the length alone
 * tells; SchemaError for a system message without a chat template, ids outside the vocabulary, and a prompt without tokens.
 */
export function promptTokens(
  { prompt, maxTokens }: Row,
  { tokenizer, chat, config }: PromptEncoder,
): readonly number[] {
  const room = config.contextLength - maxTokens
  const tooLong = (found: string): PromptTooLongError =>
    new PromptTooLongError(
      `the prompt has ${found} and maxTokens is ${maxTokens}, expected at most ${config.contextLength} tokens together`,
    )
  if ('text' in prompt) {
    const bytes = Buffer.byteLength(prompt.text) + Buffer.byteLength(prompt.system ?? '')
    if (bytes > Math.max(room, 0) * tokenizer.maxTokenBytes) throw tooLong(`${bytes} bytes`)
  }
  const tokens = 'tokens' in prompt ? prompt.tokens : encode(prompt, tokenizer, chat, config)
  if (tokens.length === 0) throw new SchemaError('text: no tokens, expected at least one')
  if (tokens.length > room) throw tooLong(`${tokens.length} tokens`)
  const outside = tokens.find(token => !(Number.isInteger(token) && token >= 0 && token < config.vocab))
  if (outside !== undefined) {
    throw new SchemaError(`tokens: ${outside} is no token of this model, expected 0 to ${config.vocab - 1}`)
  }
  return tokens
}

function encode(
  prompt: { readonly text: string; readonly system?: string },
  tokenizer: Tokenizer,
  chat: ChatTemplate | null,
  { bosTokenId }: ModelConfig,
): readonly number[] {
  if (chat !== null) return chat.encode(prompt)
  if (prompt.system !== undefined) {
    throw new SchemaError('system: given, but without a chat template there is no place for it')
  }
  const tokens = tokenizer.encode(prompt.text, { special: false })
  return tokens.length > 0 || bosTokenId === null ? tokens : [bosTokenId]
}
