import { watch, type FSWatcher } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ConfigError, toErrorData } from '../errors.ts'
import type { BaseModules } from '../hf/peft.ts'
import type { AdapterChange } from '../ports.ts'
import { examine, idOf, isCandidate, signatureOf } from './examine.ts'

export type FollowOptions = { readonly settleMs: number; readonly rescanMs: number }

/** A folder whose files never come to rest is looked at all the same after so many times `settleMs`. */
const PATIENCE = 20

/** Some systems take a file handle for each; for what is beyond this the rescan must do. */
const MAX_WATCHED = 4096

/** The folder itself, among the names of its entries. */
const FOLDER = ''

/** What was told of a directory: `key` is its content or the reason why it was refused; `signature` its files' state then. */
type Known = { readonly admitted: boolean; readonly key: string; readonly signature: string }

/** Follows one folder of adapters. Everything that it reads it reads one after the other. */
export class FolderFollower {
  readonly #path: string
  readonly #options: FollowOptions
  readonly #tell: (change: AdapterChange) => void
  readonly #known = new Map<string, Known>()
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #touched = new Set<string>()
  #modules: BaseModules | undefined
  #queue: Promise<void> = Promise.resolve()
  #touchedSince: number | undefined
  #settled: NodeJS.Timeout | undefined
  #rescan: NodeJS.Timeout | undefined
  #stopped = false

  constructor(path: string, options: FollowOptions, tell: (change: AdapterChange) => void) {
    this.#path = path
    this.#options = options
    this.#tell = tell
  }

  /** Tells what is there, then `caught-up`, then what changes. @throws ConfigError when there is no such folder. */
  async start(modules: BaseModules | undefined): Promise<void> {
    this.#modules = modules
    // Watched before it is read, so that nothing falls between the two.
    this.#watch(FOLDER)
    await this.#enqueue(await this.#list())
    if (this.#stopped) return
    this.#tell({ type: 'caught-up' })
    this.#rescanLater()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#rescan)
    clearTimeout(this.#settled)
    for (const name of this.#watchers.keys()) this.#unwatch(name)
  }

  /** Resolves when nothing is being read any more. */
  async idle(): Promise<void> {
    await this.#queue
  }

  async #list(): Promise<readonly string[]> {
    try {
      return (await readdir(this.#path)).toSorted()
    } catch (cause) {
      throw new ConfigError(`${this.#path}: cannot be read as a folder of adapters`, { cause })
    }
  }

  #rescanLater(): void {
    this.#rescan = setTimeout(() => {
      void this.#compare().then(() => this.#stopped || this.#rescanLater())
    }, this.#options.rescanMs).unref()
  }

  /** Finds what differs from what was told, and lets it settle. */
  async #compare(): Promise<void> {
    const names = await this.#list().catch((): readonly string[] => {
      // Without its folder there are no adapters. It may come back, so that is no reason to stop.
      this.#unwatch(FOLDER)
      return []
    })
    if (names.length > 0 && !this.#watchers.has(FOLDER)) this.#watch(FOLDER)
    for (const name of new Set([...names, ...this.#known.keys()])) {
      if (this.#stopped) return
      const directory = join(this.#path, name)
      const signature = (await isCandidate(directory, name)) ? await signatureOf(directory) : undefined
      // What is settling already must not be made to wait anew each time.
      if (signature !== this.#known.get(name)?.signature && !this.#touched.has(name)) this.#touch(name)
    }
  }

  /** Something changed there: it will be looked at once it has been left alone for a while. */
  #touch(name: string): void {
    if (this.#stopped) return
    const { settleMs } = this.#options
    const now = performance.now()
    this.#touched.add(name)
    this.#touchedSince ??= now
    clearTimeout(this.#settled)
    const patience = this.#touchedSince + PATIENCE * settleMs - now
    this.#settled = setTimeout(() => this.#lookAtTouched(), Math.max(0, Math.min(settleMs, patience))).unref()
  }

  #lookAtTouched(): void {
    const names = [...this.#touched].toSorted()
    this.#touched.clear()
    this.#touchedSince = undefined
    void (names.includes(FOLDER) ? this.#compare() : this.#enqueue(names))
  }

  #enqueue(names: readonly string[]): Promise<void> {
    this.#queue = this.#queue.then(async () => {
      for (const name of names) if (!this.#stopped) await this.#look(name)
    })
    return this.#queue
  }

  async #look(name: string): Promise<void> {
    const directory = join(this.#path, name)
    if (!(await isCandidate(directory, name))) return this.#forget(name)
    const before = this.#known.get(name)
    if (before?.signature === (await signatureOf(directory))) return
    // The directory may be another of the same name by now.
    this.#watch(name)
    const signature = await signatureOf(directory)
    const outcome = await examine(directory, name, this.#modules).catch(toErrorData)
    if (this.#stopped) return
    // What was written meanwhile will be looked at when it has come to rest.
    if ((await signatureOf(directory)) !== signature) return this.#touch(name)

    const admitted = 'adapter' in outcome
    const key = admitted ? outcome.key : outcome.message
    this.#known.set(name, { admitted, key, signature })
    if (before?.admitted === admitted && before.key === key) return
    if (before?.admitted === true) this.#tell({ type: 'removed', id: idOf(name) })
    if (admitted) this.#tell({ type: 'added', adapter: outcome.adapter, samples: outcome.samples })
    else this.#tell({ type: 'refused', id: name, error: outcome })
  }

  /** Tells of refused adapters too, so that whoever kept the refusal can drop it. */
  #forget(name: string): void {
    this.#unwatch(name)
    if (this.#known.delete(name) && !this.#stopped) this.#tell({ type: 'removed', id: idOf(name) })
  }

  /** Where nothing can be watched, the rescan still finds what changed. */
  #watch(name: string): void {
    this.#unwatch(name)
    if (this.#stopped || this.#watchers.size >= MAX_WATCHED) return
    try {
      const watcher = watch(join(this.#path, name), { persistent: false }, (_, entry) =>
        this.#touch(name === FOLDER ? (entry ?? FOLDER) : name),
      )
      watcher.on('error', () => this.#unwatch(name))
      this.#watchers.set(name, watcher)
    } catch {
      this.#unwatch(name)
    }
  }

  #unwatch(name: string): void {
    this.#watchers.get(name)?.close()
    this.#watchers.delete(name)
  }
}
