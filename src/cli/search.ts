import { fromErrorData } from '../errors.ts'
import { readArguments } from './arguments.ts'
import type { Command } from './command.ts'
import { MAX_SCORE, partHelp, partOptions, readK, readParts } from './options.ts'
import { chooseParts } from './parts.ts'

export const search: Command = {
  help: `Usage: lorastream search TEXT [--k N] [--min-score X] [--json] [options]

The adapters that a prompt would get, the most similar first. Opens the encoder and the adapters,
and runs no base model.

  lorastream search 'Write a sentence with: dog, ball, park'

Options:
  --k N                how many (default: 3)
  --min-score X        leave out adapters that score less
  --json               one JSON object: pool, encoder, hits (id, digest, rank, score)
${partHelp}`,

  prepare(args) {
    const given = readArguments('search', args, {
      text: ['k', 'min-score', ...partOptions],
      flags: ['json'],
      positionals: ['TEXT'],
    })
    const choice = readParts(given)
    const k = readK(given) ?? 3
    const minScore = given.number('min-score', -MAX_SCORE, MAX_SCORE) ?? -Infinity
    const [text = ''] = given.positionals

    return async terminal => {
      const { open } = await chooseParts(choice, terminal)
      const pool = await open.pool()
      try {
        const { pool: facts, hits } = await pool.retrieve([{ text, k, exclude: [] }])
        const [found = []] = hits
        if ('code' in found) throw fromErrorData(found)
        const near = found.filter(({ score }) => score === null || score >= minScore)
        if (given.flag('json')) {
          const { epoch, size, encoder } = facts
          const rows = near.map(({ adapter: { id, digest, rank }, score }) => ({ id, digest, rank, score }))
          return await terminal.print(JSON.stringify({ pool: { epoch, size }, encoder, hits: rows }))
        }
        for (const { adapter, score } of near)
          await terminal.print(
            `${(score ?? 0).toFixed(3).padStart(6)}  ${terminal.paint.bold(adapter.id)}  ${terminal.paint.dim(`rank ${adapter.rank}`)}`,
          )
        if (near.length === 0)
          terminal.note(`none of the ${facts.size} adapters of the pool: the base model would answer alone`)
      } finally {
        await pool.close()
      }
    }
  },
}
