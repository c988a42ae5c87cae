import { avro } from '../../codec/avro.ts'
import type { Receipt } from '../../events.ts'
import type { Batch, Codec } from '../../ports.ts'
import { median, sum } from './measure.ts'
import { figure, type Figure } from './result.ts'

/** A batch that the engine answered: how long it took as a whole, and how long ONNX Runtime of that. */
export type Run = { readonly batch: Batch; readonly ms: number; readonly sessionMs: number }

/** A window of a topology, and the same batch handed to the engine alone. */
export type Measured = {
  /** From the window before to this one. */
  readonly ms: number
  readonly receipt: Receipt
  readonly within: Run
  readonly alone: Run
  /** Of the whole run, a window's part. */
  readonly avroMs: number
}

/** Where the time of windows goes: medians, and the share of all that ONNX Runtime did not take. */
export function figuresOf(measured: readonly Measured[]): readonly Figure[] {
  const of = (pick: (one: Measured) => number): number => median(measured.map(pick))
  const stage = (name: 'retrieve' | 'compose' | 'publish'): number => of(({ receipt }) => receipt.ms[name] ?? 0)
  const [ms, sessionMs, aloneMs] = [of(one => one.ms), of(one => one.within.sessionMs), of(one => one.alone.ms)]
  const engineMs = of(({ within }) => within.ms - within.sessionMs)
  const batchMs = of(({ receipt, within }) => (receipt.ms.infer ?? 0) - within.ms)
  const outside = 1 - sum(measured.map(one => one.within.sessionMs)) / sum(measured.map(one => one.ms))
  const over = of(one => one.ms / one.alone.ms) - 1
  return [
    figure('ms', ms, 'ms', `from one window to the next; median of ${measured.length}`),
    figure('sessionMs', sessionMs, 'ms', 'of that, what ONNX Runtime took'),
    figure('outsidePercent', 100 * outside, '%', 'of all windows, what ONNX Runtime did not take'),
    figure('aloneMs', aloneMs, 'ms', 'the same batches handed to the engine alone'),
    figure('overAlonePercent', 100 * over, '%', 'above the engine alone: the encoder wants cores too'),
    figure('retrieveMs', stage('retrieve'), 'ms', 'encoder and search, while the window before is inferred'),
    figure('composeMs', stage('compose'), 'ms', 'hits to mixes'),
    figure('batchMs', batchMs, 'ms', 'mixes to a batch'),
    figure('engineMs', engineMs, 'ms', 'in the engine besides ONNX Runtime: thread, tokens, LoRAs, feeds, text'),
    figure('publishMs', stage('publish'), 'ms', 'completions with provenance, settled'),
    figure(
      'avroMs',
      of(one => one.avroMs),
      'ms',
      'of all stages, prompts from Avro and completions to it',
    ),
  ]
}

/** Avro that adds up how long the topology's own part of it takes: it encodes and decodes before it gives way. */
export function timedAvro(clock: { ms: number }): Codec {
  const codec = avro()
  const add = <Value>(work: () => Value): Value => {
    const started = performance.now()
    const value = work()
    clock.ms += performance.now() - started
    return value
  }
  return (topic, schema) => {
    const serde = codec(topic, schema)
    return {
      // Prompts are encoded by whoever produces them.
      encode: value => (topic === 'prompts' ? serde.encode(value) : add(() => serde.encode(value))),
      decode: bytes => add(() => serde.decode(bytes)),
    }
  }
}
