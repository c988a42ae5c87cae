import type { Failed, Receipt } from '../events.ts'
import { run } from '../topology.ts'
import { jsonl } from '../transport/jsonl.ts'
import { readArguments } from './arguments.ts'
import type { Command } from './command.ts'
import { partHelp, partOptions, readParts, readTopology, topologyHelp, topologyOptions } from './options.ts'
import { chooseParts } from './parts.ts'
import { openAll } from './resources.ts'
import { topologyOf } from './topology-of.ts'

export const complete: Command = {
  help: `Usage: lorastream complete [--in FILE] [--out FILE] [options]

Prompts in, completions out, both as JSON lines: the whole topology without Kafka. A line that is
wrong costs only itself.

  echo '{"text":"Write a sentence with: dog, ball, park"}' | lorastream complete

A prompt has "text", and may have: id, system, maxTokens (128), temperature (0: greedy), topP, topK,
seed, stop, ignoreEos, adapters (these, [{"id","weight"}], instead of retrieving), exclude (ids not
to retrieve), strategy, k, metadata (comes back untouched), tokens (ids, instead of text).

Options:
  --in FILE            prompts (default: -, standard input)
  --out FILE           completions (default: -, standard output)
  --dead-letters FILE  lines that were not answered, each with its reason (also on stderr)
  --tokens             write the completions' token ids too

How prompts are answered:
${topologyHelp}

What answers them:
${partHelp}`,

  prepare(args) {
    const given = readArguments('complete', args, {
      text: ['in', 'out', 'dead-letters', ...partOptions, ...topologyOptions],
      flags: ['tokens'],
    })
    const choice = readParts(given)
    const topology = topologyOf(readTopology(given))
    const input = given.text('in') ?? '-'
    const output = given.text('out') ?? '-'
    const deadLetters = given.text('dead-letters')

    return async terminal => {
      const signal = terminal.stopping()
      const { open } = await chooseParts(choice, terminal)
      if (input === '-' && process.stdin.isTTY)
        terminal.note('reading prompts from the terminal, one JSON object a line; Ctrl-D ends')
      const tally = newTally()
      const report = (failed: Failed): void => {
        tally.refuse()
        terminal.note(explain(failed))
      }
      const transport = jsonl({
        input,
        output,
        tokens: given.flag('tokens'),
        report,
        ...(deadLetters === undefined ? {} : { deadLetters }),
      })
      const onReceipt = (receipt: Receipt): void => {
        tally.add(receipt)
        if (output !== '-') terminal.progress(tally.line())
      }
      await run(topology, await openAll(transport, open, terminal), { signal, onReceipt })
      terminal.note(tally.line())
    }
  },
}

/** A line that does not decode is named in its reason already. */
function explain({ stage, code, reason, message: { origin } }: Failed): string {
  return `${code}: ${stage === 'decode' ? '' : `${origin.topic} line ${origin.offset}: `}${reason}`
}

/** Counts answers by their receipts, and lines that are not answered as they are told: no receipt has those that do not decode. */
function newTally(): { add(receipt: Receipt): void; refuse(): void; line(): string } {
  const started = performance.now()
  let answered = 0
  let failed = 0
  let newTokens = 0
  return {
    add(receipt) {
      answered += receipt.answered
      newTokens += receipt.newTokens
    },
    refuse() {
      failed++
    },
    line() {
      const seconds = (performance.now() - started) / 1000
      return `${answered} answered, ${failed} failed, ${newTokens} new tokens in ${seconds.toFixed(1)} s`
    },
  }
}
