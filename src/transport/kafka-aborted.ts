import { createRequire } from 'node:module'

/** A record of a fetch, as kafkajs decodes it. */
export type Fetched = {
  readonly offset: string
  readonly key: Buffer | null
  /** Not delivered by kafkajs, and passed over. */
  isControlRecord: boolean
  /** Of the batch that it came in; none in formats from before transactions. */
  readonly batchContext?: {
    readonly producerId: string
    readonly inTransaction: boolean
    readonly isControlBatch: boolean
  }
}

/** A transaction that was given up, as a broker tells with what it began in a partition. */
export type Aborted = { readonly producerId: string; readonly firstOffset: string }

/** The second half of a control record's key; 1 is a commit. */
const ABORT = 0

/**
 * Marks what aborted transactions wrote so that kafkajs delivers none of it. Its own filter takes the transactions in the order in
 * which they ended, so that of those that overlap some pass; brokers list only those that meet the fetch. `records` are
 * one partition's of one fetch, in order.
 */
export function hideAborted(records: readonly Fetched[], aborted: readonly Aborted[]): void {
  const ahead = aborted
    .map(({ producerId, firstOffset }) => ({ producerId, first: BigInt(firstOffset) }))
    .toSorted((one, other) => (one.first < other.first ? -1 : 1))
  const open = new Set<string>()
  let begun = 0
  for (const record of records) {
    const offset = BigInt(record.offset)
    for (let next = ahead[begun]; next !== undefined && next.first <= offset; next = ahead[begun]) {
      open.add(next.producerId)
      begun += 1
    }
    const { batchContext, key } = record
    if (batchContext === undefined) continue
    const { producerId, inTransaction, isControlBatch } = batchContext
    if (isControlBatch) {
      if (key !== null && key.length >= 4 && key.readInt16BE(2) === ABORT) open.delete(producerId)
    } else if (inTransaction && open.has(producerId)) record.isControlRecord = true
  }
}

type Response = {
  readonly responses: readonly {
    readonly partitions: readonly { readonly messages: readonly Fetched[]; abortedTransactions: readonly Aborted[] }[]
  }[]
}
type Decoder = { decode: (bytes: unknown) => Promise<Response> }

/** Versions of a fetch that tell of aborted transactions. */
const VERSIONS = [4, 5, 6, 7, 8, 9, 10, 11] as const

let mended = false

/**
 * Lets every consumer of kafkajs in this process pass over what was aborted. kafkajs has no public place for it: its filter works
 * on what these modules decode, so they hide it and list no aborted transactions. Once is enough, before or after kafkajs
 * is loaded. Throws where kafkajs is laid out in another way.
 */
export function mendAbortedRecords(): void {
  if (mended) return
  const require = createRequire(import.meta.url)
  for (const version of VERSIONS) {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- kafkajs has no types for it; a test reads through it
    const module = require(`kafkajs/src/protocol/requests/fetch/v${version}/response.js`) as Decoder
    const { decode } = module
    module.decode = async bytes => {
      const response = await decode(bytes)
      for (const { partitions } of response.responses)
        for (const partition of partitions) {
          if (partition.abortedTransactions.length === 0) continue
          hideAborted(partition.messages, partition.abortedTransactions)
          partition.abortedTransactions = []
        }
      return response
    }
  }
  mended = true
}
