export type ErrorCode =
  | 'CONFIG_INVALID'
  | 'SCHEMA_MISMATCH'
  | 'ADAPTER_INVALID'
  | 'ADAPTER_UNKNOWN'
  | 'MODEL_UNSUPPORTED'
  | 'MODEL_INVALID'
  | 'PROMPT_TOO_LONG'
  | 'STAGE_FAILED'
  | 'TRANSPORT_FAILED'

/**
 * Every error that lorastream raises on purpose. `code` is stable; the message names the file, field or topic, what was
 * found and what was expected.
 */
export abstract class LorastreamError extends Error {
  abstract readonly code: ErrorCode

  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
  }
}

/** A configuration, option or argument cannot work. */
export class ConfigError extends LorastreamError {
  readonly code = 'CONFIG_INVALID'
}

/** Bytes do not decode, or a value does not fit its schema. */
export class SchemaError extends LorastreamError {
  readonly code = 'SCHEMA_MISMATCH'
}

/** An adapter's files are not what the pool admits. */
export class AdapterError extends LorastreamError {
  readonly code = 'ADAPTER_INVALID'
}

/** A prompt names an adapter that the pool has not admitted. */
export class UnknownAdapterError extends LorastreamError {
  readonly code = 'ADAPTER_UNKNOWN'
}

/** The model is sound, but of a kind that this version does not run. */
export class UnsupportedModelError extends LorastreamError {
  readonly code = 'MODEL_UNSUPPORTED'
}

/** A model's files are damaged or contradict each other. */
export class ModelError extends LorastreamError {
  readonly code = 'MODEL_INVALID'
}

/** A prompt and its new tokens do not fit the context. */
export class PromptTooLongError extends LorastreamError {
  readonly code = 'PROMPT_TOO_LONG'
}

/** A stage threw; `cause` has what. */
export class StageError extends LorastreamError {
  readonly code = 'STAGE_FAILED'
}

/**
 * What a stage works with is gone, as when a thread has died, and every other event would fail like this one. So it ends the run
 * instead of costing the events; they are read again.
 */
export class GoneError extends LorastreamError {
  readonly code = 'STAGE_FAILED'
}

/** Events could not be read, written or committed. */
export class TransportError extends LorastreamError {
  readonly code = 'TRANSPORT_FAILED'
}

/** For an exhaustive `switch (error.code)`. */
export type AnyLorastreamError =
  | ConfigError
  | SchemaError
  | AdapterError
  | UnknownAdapterError
  | UnsupportedModelError
  | ModelError
  | PromptTooLongError
  | StageError
  | GoneError
  | TransportError

/** The classes by code, to rebuild an error that crossed a thread. */
const classes = {
  CONFIG_INVALID: ConfigError,
  SCHEMA_MISMATCH: SchemaError,
  ADAPTER_INVALID: AdapterError,
  ADAPTER_UNKNOWN: UnknownAdapterError,
  MODEL_UNSUPPORTED: UnsupportedModelError,
  MODEL_INVALID: ModelError,
  PROMPT_TOO_LONG: PromptTooLongError,
  STAGE_FAILED: StageError,
  TRANSPORT_FAILED: TransportError,
} satisfies Record<ErrorCode, new (message: string, options?: { cause?: unknown }) => AnyLorastreamError>

/** An error as plain data, for another thread or a header. */
export type ErrorData = { readonly code: ErrorCode; readonly message: string }

/** The error's code and message; one that is not ours becomes `STAGE_FAILED` with its own message. */
export function toErrorData(error: unknown): ErrorData {
  if (error instanceof LorastreamError) return { code: error.code, message: error.message }
  return { code: 'STAGE_FAILED', message: error instanceof Error ? error.message : String(error) }
}

/** The opposite of {@link toErrorData}. */
export function fromErrorData(data: ErrorData): AnyLorastreamError {
  return new classes[data.code](data.message)
}
