import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { missingProgram } from '../../../infra/program.ts'

const execute = promisify(execFile)
const TIMEOUT_MS = 90_000

/** A record as kcat prints it: its value as bytes. */
export type KcatRecord = {
  readonly key: string
  readonly headers: ReadonlyMap<string, string>
  readonly value: Buffer
}

export type Kcat = {
  /** One record, its value from a file. */
  produce(topic: string, key: string, value: Uint8Array, headers: readonly string[]): Promise<void>
  /** What readers of committed records see, to the end. */
  consume(topic: string): Promise<readonly KcatRecord[]>
}

/** kcat 1.5 or later (headers), for some brokers. Where it is not installed, the reason. */
export async function findKcat(brokers: readonly string[]): Promise<Kcat | { readonly missing: string }> {
  const missing = await missingProgram('kcat', '-V')
  if (missing !== undefined) return { missing: `${missing} (on Debian and Ubuntu: apt-get install kcat)` }
  const common = ['-q', '-b', brokers.join(',')]
  return {
    async produce(topic, key, value, headers) {
      const folder = await mkdtemp(join(tmpdir(), 'lorastream-kcat-'))
      try {
        const file = join(folder, 'value')
        await writeFile(file, value)
        const named = headers.flatMap(header => ['-H', header])
        await execute('kcat', [...common, '-P', '-t', topic, '-k', key, ...named, file], { timeout: TIMEOUT_MS })
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    },
    async consume(topic) {
      // A value may hold any byte, so its length comes before it.
      const format = String.raw`%k\n%h\n%S\n%s`
      const args = [...common, '-C', '-t', topic, '-o', 'beginning', '-e', '-f', format]
      const child = spawn('kcat', [...args, '-X', 'isolation.level=read_committed'], { timeout: TIMEOUT_MS })
      const chunks: Buffer[] = []
      child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
      await once(child, 'close')
      return [...parse(Buffer.concat(chunks))]
    },
  }
}

function* parse(bytes: Buffer): Generator<KcatRecord> {
  for (let at = 0; at < bytes.length;) {
    const [key, headers, length] = [line(), line(), Number(line())]
    const value = bytes.subarray(at, at + length)
    at += length
    const pairs = headers.split(',').map(header => {
      const equals = header.indexOf('=')
      return [header.slice(0, equals), header.slice(equals + 1)] as const
    })
    yield { key, headers: new Map(pairs), value }

    function line(): string {
      const end = bytes.indexOf('\n', at)
      const found = bytes.toString('utf8', at, end)
      at = end + 1
      return found
    }
  }
}
