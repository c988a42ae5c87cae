import { parentPort, Worker, workerData, type Transferable } from 'node:worker_threads'
import { fromErrorData, GoneError, StageError, toErrorData, type ErrorData } from '../errors.ts'

/** A module that runs in a thread of its own, because what it does blocks the thread that does it. */
export type Thread<Ready, Request, Response> = {
  /** What the module said of itself when it was open. */
  readonly ready: Ready
  /** One request after the other, in the order of the calls. Throws what the module threw. */
  call(request: Request): Promise<Response>
  /** Answers what was asked, releases everything and ends the thread. */
  close(): Promise<void>
}

/** What a module serves. `call` may hand memory over with its response instead of copying it. */
export type Served<Ready, Request, Response> = {
  readonly ready: Ready
  call(request: Request): Promise<{ readonly response: Response; readonly transfer?: readonly Transferable[] }>
  close(): Promise<void>
}

type ToWorker<Request> = { readonly id: number; readonly request: Request } | 'close'
type FromWorker = { readonly id: number } & ({ readonly value: unknown } | { readonly error: ErrorData })

/** The id of the answer that is not to a call: the module is open, or failed to open. */
const OPENING = 0

/** The id of what is no answer at all. */
const NOTICE = -1

/** Most of what a thread works with is outside of its heap; by default V8 would keep up to 48 MB for what is young. */
const YOUNG_MB = 12

/**
 * Starts `./name.ts` beside `parent` (an `import.meta.url`) in a worker thread; that module calls {@link serveThread}.
 * The thread keeps the process alive only while a call is open. `onNotice` gets what the module tells on the way.
 * Calls throw GoneError once the thread has died.
 * @throws what the module's opening threw.
 */
export async function openThread<Ready, Request, Response>(
  module: string,
  parent: string,
  data: unknown,
  onNotice?: (notice: unknown) => void,
): Promise<Thread<Ready, Request, Response>> {
  const worker = startWorker(module, parent, data)
  const open = new Map<number, { resolve: (value: unknown) => void; reject: (error: unknown) => void }>()
  let last = OPENING
  let ended: StageError | GoneError | undefined
  let closing = false

  const end = (error: StageError | GoneError): void => {
    ended ??= error
    for (const { reject } of open.values()) reject(ended)
    open.clear()
  }
  worker.on('message', (message: FromWorker) => {
    if (message.id === NOTICE && 'value' in message) {
      onNotice?.(message.value)
      return
    }
    const call = open.get(message.id)
    open.delete(message.id)
    if (open.size === 0 && !closing) worker.unref()
    if ('error' in message) call?.reject(fromErrorData(message.error))
    else call?.resolve(message.value)
  })
  worker.on('error', cause => end(new GoneError(`${module} failed: ${cause.message}`, { cause })))
  const exited = new Promise<void>(resolve => {
    worker.on('exit', () => {
      end(closing ? new StageError(`${module} has ended`) : new GoneError(`${module} has ended`))
      resolve()
    })
  })

  const answerTo = <Value>(id: number): Promise<Value> =>
    new Promise((resolve, reject) => {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a module and who opens it are written as a pair
      open.set(id, { resolve: value => resolve(value as Value), reject })
      worker.ref()
    })
  const ready = await answerTo<Ready>(OPENING)
  return {
    ready,
    async call(request) {
      if (ended !== undefined || closing) throw ended ?? new StageError(`${module} is closed`)
      last += 1
      // First, for a request that cannot be copied throws here, and nobody would ever answer it.
      worker.postMessage({ id: last, request } satisfies ToWorker<Request>, [])
      return await answerTo<Response>(last)
    },
    async close() {
      if (ended === undefined && !closing) {
        closing = true
        worker.ref()
        worker.postMessage('close' satisfies ToWorker<Request>, [])
      }
      await exited
    },
  }
}

/** Serves one {@link openThread}: opens with its `data`, then answers calls until it is closed. */
export async function serveThread<Ready, Request, Response>(
  open: (data: unknown, notify: (notice: unknown) => void) => Promise<Served<Ready, Request, Response>>,
): Promise<void> {
  const port = parentPort
  if (port === null) throw new Error('serveThread runs in a worker thread only')
  const answer = (message: FromWorker, transfer: readonly Transferable[] = []): void =>
    port.postMessage(message, [...transfer])
  let served: Served<Ready, Request, Response>
  try {
    served = await open(workerData, value => answer({ id: NOTICE, value }))
  } catch (error) {
    answer({ id: OPENING, error: toErrorData(error) })
    return
  }
  let queue: Promise<void> = Promise.resolve()
  port.on('message', (message: ToWorker<Request>) => {
    queue = queue.then(async () => {
      if (message === 'close') {
        await served.close()
        port.close()
        return
      }
      try {
        const { response, transfer } = await served.call(message.request)
        answer({ id: message.id, value: response }, transfer)
      } catch (error) {
        answer({ id: message.id, error: toErrorData(error) })
      }
    })
  })
  answer({ id: OPENING, value: served.ready })
}

/** Built, a module is JavaScript. From source its thread needs the TypeScript loader, which threads do not inherit. */
function startWorker(module: string, parent: string, data: unknown): Worker {
  const options = { workerData: data, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB } }
  if (!parent.endsWith('.ts')) return new Worker(new URL(module.replace(/\.ts$/, '.js'), parent), options)
  const [loader, url] = [import.meta.resolve('tsx/esm/api'), new URL(module, parent).href].map(href =>
    JSON.stringify(href),
  )
  return new Worker(`import(${loader}).then(({ register }) => (register(), import(${url})))`, {
    ...options,
    eval: true,
  })
}
