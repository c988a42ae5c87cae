import { modelBytes } from '../onnx/proto.ts'
import { openSession, type Session, type SessionOptions } from '../onnx/session.ts'
import type { GraphMessage } from '../onnx/proto.ts'
import { KINDS, type Kind } from './lora-slots.ts'

/** A graph with LoRA nodes for these kinds of module. */
export type GraphFor = (kinds: readonly Kind[]) => GraphMessage

/** A session whose graph has LoRA nodes for `kinds`. */
export type AdaptedSession = { readonly session: Session; readonly kinds: readonly Kind[] }

/** Opens the sessions of one graph, of which there is never more than one. */
export type Sessions = {
  /**
   * The session whose graph covers these kinds: the open one if it does, else a new one for all kinds that were ever asked for.
   * So a pool whose adapters sit on q and v pays for no other module, and a window that brings another costs one opening.
   */
  covering(kinds: ReadonlySet<Kind>): Promise<AdaptedSession>
  close(): Promise<void>
}

export function sessions(graphFor: GraphFor, producerVersion: string, options: SessionOptions): Sessions {
  let open: AdaptedSession | undefined
  let asked: readonly Kind[] = []
  return {
    async covering(kinds) {
      if (open !== undefined && [...kinds].every(kind => open?.kinds.includes(kind))) return open
      asked = KINDS.filter(kind => kinds.has(kind) || asked.includes(kind))
      // Closed first: two at once would hold the weights twice.
      await open?.session.close()
      open = undefined
      const session = await openSession(modelBytes(graphFor(asked), { producerVersion }), options)
      open = { session, kinds: asked }
      return open
    },
    async close() {
      await open?.session.close()
      open = undefined
    },
  }
}
