import { request as overHttp, type IncomingMessage } from 'node:http'
import { request as overHttps } from 'node:https'
import { text } from 'node:stream/consumers'
import { registryAccess, toErrorData, TransportError } from 'lorastream'

/** A registry answers in milliseconds. */
const TIMEOUT_MS = 10_000

/**
 * What the first of a registry's urls answers to a request, let in as the environment says for the main job, too. Throws
 * TransportError where it does not answer in time, Error where it refuses, and ConfigError for a wrong environment.
 */
export async function askRegistry(
  urls: string,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body = '',
): Promise<string> {
  const { basic, bearer, tls } = registryAccess()
  const url = new URL(`${urls.split(',')[0]}${path}`)
  const sent = (url.protocol === 'https:' ? overHttps : overHttp)(url, {
    method,
    signal: AbortSignal.timeout(TIMEOUT_MS),
    headers: {
      'content-type': 'application/vnd.schemaregistry.v1+json',
      'content-length': Buffer.byteLength(body),
      ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
    },
    ...(basic !== undefined && { auth: `${basic.username}:${basic.password}` }),
    ...tls,
  })
  const [status, answer] = await answered()
  if (status >= 200 && status < 300) return answer
  throw new Error(`${url.href} answers ${status}: ${answer}`)

  async function answered(): Promise<readonly [number, string]> {
    try {
      sent.end(body)
      const response = await new Promise<IncomingMessage>((found, failed) => {
        sent.once('response', found).once('error', failed)
      })
      return [response.statusCode ?? 0, await text(response)]
    } catch (error) {
      throw new TransportError(`${url.href} does not answer: ${toErrorData(error).message}`, { cause: error })
    }
  }
}
