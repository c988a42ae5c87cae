/** What an OAuth token may hold beside itself, as Kafka's servers take it. */
type Token = { readonly value: string; readonly extensions?: Readonly<Record<string, string>> }

type Exchange = {
  readonly saslAuthenticate: (messages: {
    readonly request: { encode(): Buffer }
    readonly response: { decode(bytes: Buffer): Buffer; parse(text: Buffer): string }
    // kafkajs says that there may be no answer.
  }) => Promise<unknown>
}

/** A token that the server does not take. kafkajs has such an error, but does not export it so that Node can see it. */
class Refused extends Error {
  readonly retriable = false
  override readonly name = 'KafkaJSSASLAuthenticationError'
}

/** Messages of a protocol: a length in four bytes, and as many. */
const LENGTH_BYTES = 4
/** What a server says of a token: a short status. */
const MAX_STATUS = 60

/**
 * SASL OAUTHBEARER (RFC 7628) for kafkajs, whose own takes a refusal for a success, and then finds no broker: the server answers a
 * token that it does not take with a message instead of an error. `provider` is asked for every connection.
 */
export function oauthBearer(provider: () => Promise<Token>) {
  return {
    mechanism: 'oauthbearer',
    authenticationProvider: ({ saslAuthenticate }: Exchange) => ({
      async authenticate() {
        const { value, extensions = {} } = await provider()
        const pairs = Object.entries(extensions).map(([name, content]) => `${name}=${content}\x01`)
        const message = `n,,\x01auth=Bearer ${value}\x01${pairs.join('')}\x01`
        const answer = await saslAuthenticate({
          request: { encode: () => withLength(Buffer.from(message)) },
          response: { decode: bytes => bytes.subarray(LENGTH_BYTES), parse: text => text.toString() },
        })
        if (typeof answer === 'string' && answer !== '')
          throw new Refused(`SASL OAUTHBEARER authentication failed: ${statusOf(answer)}`)
      },
    }),
  }
}

function withLength(message: Buffer): Buffer {
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeInt32BE(message.length)
  return Buffer.concat([length, message])
}

function statusOf(answer: string): string {
  const [, status = 'the token was refused'] = /"status"\s*:\s*"([^"\\]+)"/.exec(answer) ?? []
  return status.slice(0, MAX_STATUS)
}
