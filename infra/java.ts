import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, existsSync, rmSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { installed } from './ladder.ts'
import { missingProgram } from './program.ts'

const execute = promisify(execFile)

const cache = fileURLToPath(new URL('../.cache/infra', import.meta.url))

/** A slow mirror has its time; a dead one must not hold up the tests for ever. */
const FETCH_TIMEOUT_MS = 300_000

/** Why Java programs cannot be run here, or undefined when they can. Throws where Java or Maven is there and does not run. */
export async function missingJava(): Promise<string | undefined> {
  if (installed) return 'the local JVM is for a checkout'
  return (await missingProgram('java', '-version')) ?? (await missingProgram('mvn', '--version'))
}

/** The folder of Kafka's jars, fetched through Maven on first use. */
export async function kafkaJars(): Promise<string> {
  return await kept('kafka-4.4.0', async folder => {
    const pom = join(folder, 'pom.xml')
    await writeFile(
      pom,
      `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>lorastream</groupId><artifactId>infra</artifactId><version>1</version>
<dependencies><dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.4.0</version></dependency></dependencies></project>`,
    )
    await maven(['-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${folder}`, '-DincludeScope=runtime'])
  })
}

/** The registry's jar, fetched through Maven on first use. */
export async function registryJar(): Promise<string> {
  const folder = await kept('apicurio-3.0.9', async target => {
    const artifact = 'io.apicurio:apicurio-registry-app:3.0.9:tar.gz:all'
    await maven(['dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${target}`])
    const [archive] = (await readdir(target)).filter(name => name.endsWith('.tar.gz'))
    await execute('tar', ['-xzf', join(target, archive ?? ''), '-C', target])
    await rm(join(target, archive ?? ''))
  })
  return join(folder, 'apicurio-registry-app-3.0.9-runner.jar')
}

/** Fetched into a folder of its own and renamed, so that a fetch that was cut off leaves nothing half-done behind. */
async function kept(name: string, fetch: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(cache, name)
  if (existsSync(folder)) return folder
  await mkdir(cache, { recursive: true })
  const fresh = await temporaryFolder(join(cache, `${name}-`))
  try {
    await fetch(fresh)
    // Another process may have been quicker.
    await rename(fresh, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error
    })
  } finally {
    await rm(fresh, { recursive: true, force: true })
  }
  return folder
}

const temporary = new Set<string>()
let sweeping = false

/** A new folder that goes with this process, unless it is killed. By default for data, where the system keeps such. */
export async function temporaryFolder(prefix: string): Promise<string> {
  const folder = await mkdtemp(resolve(tmpdir(), prefix))
  temporary.add(folder)
  if (!sweeping) process.once('exit', () => temporary.forEach(one => rmSync(one, { recursive: true, force: true })))
  sweeping = true
  return folder
}

async function maven(args: readonly string[]): Promise<void> {
  await execute('mvn', ['-q', '-B', ...args], { timeout: FETCH_TIMEOUT_MS })
}

/** A Java program that ends with this process, however this process ends. */
export type Java = {
  /** The JVM's own, for signals. */
  readonly pid: number
  /** Ends it at once; resolves when it is gone. */
  kill(): Promise<void>
}

/** Starts a Java program, its output in a file; the file's folder goes with this process, too. */
export async function startJava(args: readonly string[], log: string): Promise<Java> {
  // The shell's stdin is this process's: when it closes, for whatever reason, the JVM goes too. The folder goes when this
  // process has gone, and not when it was only the JVM, which may be started again.
  const sweep = '{ sleep 1; kill -0 $PPID || rm -rf "$FOLDER"; } 2>/dev/null'
  const watch = `(read _ <&3; kill -9 $j; ${sweep}) &`
  const script = `java "$@" </dev/null >&2 & j=$!; echo $j; exec 3<&0; ${watch} wait $j`
  // Detached: a terminal's Ctrl-C must not end a broker that its clients still finish with.
  const child = spawn('bash', ['-c', script, 'java', ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    env: { ...process.env, FOLDER: dirname(log) },
  })
  child.stderr.pipe(createWriteStream(log, { flags: 'a' }))
  const pid = await new Promise<number>((started, reject) => {
    child.stdout.once('data', (line: Buffer) => started(Number(line.toString())))
    child.once('error', reject)
  })
  child.unref()
  return { pid, kill: () => end(child, pid) }
}

async function end(child: ChildProcess, pid: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It was quicker.
  }
  child.stdin?.end()
  await gone
}

/** A port of the loopback interface that nobody uses now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port to be had')
  return address.port
}

/** Tries until it succeeds, at most for `ms`; then throws what it failed with. */
export async function eventually<T>(ms: number, attempt: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + ms
  for (;;)
    try {
      return await attempt()
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise(again => setTimeout(again, 200))
    }
}
