import { resolve } from 'node:path'
import { Observable, ReplaySubject, takeUntil } from 'rxjs'
import type { BaseModules } from '../hf/peft.ts'
import type { AdapterChange, AdapterSource } from '../ports.ts'
import { FolderFollower } from './folder-follower.ts'

export type PeftDirectoryOptions = {
  /** The base's linear modules: with them an adapter for another base is refused here, without them by the engine. */
  readonly modules?: BaseModules | Promise<BaseModules> | (() => BaseModules | Promise<BaseModules>)
  /** How long an adapter's files must be left alone before it is looked at, so that one is not taken half copied, in ms. */
  readonly settleMs?: number
  /** How often everything is compared with the disk, for file systems that tell of no changes, in ms. */
  readonly rescanMs?: number
}

/**
 * A folder with a PEFT directory for each adapter. Tells what is there, then follows the folder: an adapter whose files
 * change is removed and added anew under its new digest; one that was refused is looked at again when its files change.
 * Holds no weights. `changes` fails with ConfigError when there is no such folder.
 */
export function peftDirectory(path: string, options: PeftDirectoryOptions = {}): AdapterSource {
  const { modules, settleMs = 250, rescanMs = 10_000 } = options
  const closed = new ReplaySubject<void>(1)
  const followers = new Set<FolderFollower>()
  const changes = new Observable<AdapterChange>(subscriber => {
    const follower = new FolderFollower(resolve(path), { settleMs, rescanMs }, change => subscriber.next(change))
    followers.add(follower)
    // Asked for inside the promise, so that a function that throws is an error of the stream too.
    const known = Promise.resolve().then(() => (typeof modules === 'function' ? modules() : modules))
    known.then(base => follower.start(base)).catch((error: unknown) => subscriber.error(error))
    return () => follower.stop()
  })
  return {
    changes: changes.pipe(takeUntil(closed)),
    async close() {
      closed.next()
      await Promise.all([...followers].map(follower => follower.idle()))
    },
  }
}
