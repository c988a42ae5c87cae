import { AdapterError } from '../../src/errors.ts'
import { serveThread } from '../../src/onnx/thread.ts'

/** A thread that answers with what it was asked, and fails in the ways that it is told to. */
await serveThread<{ readonly data: unknown }, string, string>(async data => {
  if (data === 'fail') throw new AdapterError('cannot open')
  return {
    ready: { data },
    async call(request) {
      if (request === 'throw') throw new AdapterError('bad request')
      if (request === 'crash') setImmediate(() => process.exit(7))
      if (request === 'crash' || request === 'hang') await new Promise(() => undefined)
      return { response: `${request}!` }
    },
    close: () => Promise.resolve(),
  }
})
