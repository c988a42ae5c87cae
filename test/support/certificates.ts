import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** PEM files in one folder. */
export type Issued = { readonly cert: string; readonly key: string; readonly keystore: string }

/** A certificate authority of a test's own. */
export type Authority = {
  /** Its certificate, for those who trust it. */
  readonly ca: string
  /** A key and a certificate for 127.0.0.1 and for clients of that name, good for two days. */
  issue(name: string): Promise<Issued>
}

/** Makes an authority with openssl, its files in a folder. Throws where openssl is not there. */
export async function makeAuthority(folder: string, name = 'authority'): Promise<Authority> {
  const ca = join(folder, `${name}.pem`)
  const caKey = join(folder, `${name}.key`)
  const own = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  await openssl(['req', '-x509', ...own, '-subj', `/CN=${name}`, '-keyout', caKey, '-out', ca])
  return {
    ca,
    async issue(subject) {
      const [cert, key, keystore] = ['crt', 'key', 'store'].map(end => join(folder, `${name}-${subject}.${end}`))
      if (cert === undefined || key === undefined || keystore === undefined) throw new Error('no paths')
      const names = ['-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost', '-addext', 'basicConstraints=CA:FALSE']
      const signed = ['-CA', ca, '-CAkey', caKey, '-subj', `/CN=${subject}`, '-keyout', key, '-out', cert]
      await openssl(['req', '-x509', ...own, ...names, ...signed])
      await writeFile(keystore, `${await readFile(key, 'utf8')}${await readFile(cert, 'utf8')}`)
      return { cert, key, keystore }
    },
  }
}

async function openssl(args: readonly string[]): Promise<void> {
  await promisify(execFile)('openssl', args)
}
