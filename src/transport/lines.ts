import { isUtf8 } from 'node:buffer'

/** Of a line that is too long: enough to recognise it. */
const SHOWN_BYTES = 1024

/** A line of a file, numbered from 1. With a `problem`, `bytes` may be its beginning alone. */
export type Line = { readonly number: number; readonly bytes: Buffer; readonly problem?: string }

/**
 * The lines of a stream of bytes, without line ends (LF or CRLF) and a byte order mark; blank ones are counted and left
 * out. A line of more than `maxBytes`, or that is not UTF-8, comes with its problem; nothing more than `maxBytes` is held
 * of any line.
 */
export async function* lines(input: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Line> {
  let parts: Buffer[] = []
  let length = 0
  let number = 0
  for await (const chunk of input) {
    let start = 0
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      add(chunk.subarray(start, end))
      yield* take()
      start = end + 1
    }
    add(chunk.subarray(start))
  }
  if (length > 0) yield* take()

  function add(part: Buffer): void {
    length += part.length
    if (length <= maxBytes) parts.push(part)
    else parts = [Buffer.concat([...parts, part.subarray(0, SHOWN_BYTES)]).subarray(0, SHOWN_BYTES)]
  }

  function* take(): Generator<Line> {
    // A copy: a part is a view of a chunk, which would stay in memory as a whole.
    const bytes = trim(Buffer.concat(parts), ++number === 1)
    const total = length
    parts = []
    length = 0
    if (total > maxBytes) yield { number, bytes, problem: `${total} bytes, expected at most ${maxBytes}` }
    else if (!isUtf8(bytes)) yield { number, bytes, problem: 'bytes that are not UTF-8' }
    else if (bytes.some(byte => byte !== 32 && byte !== 9)) yield { number, bytes }
  }
}

function trim(bytes: Buffer, first: boolean): Buffer {
  const start = first && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
  return bytes.subarray(start, bytes.at(-1) === 13 ? -1 : undefined)
}
