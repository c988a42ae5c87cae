import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliDecompressSync } from 'node:zlib'

/**
 * SwiftShader, a Vulkan driver that computes on the CPU: with it WebGPU is tested where there is no GPU. It is taken out
 * of an npm package that brings it for headless browsers, together with a Vulkan loader, so that nothing needs to be installed.
 * `node --import tsx infra/swiftshader.ts` fetches it once (68 MB) into `.cache/swiftshader`.
 */
const VERSION = '138.0.2'
const PACKAGE = `@sparticuz/chromium@${VERSION}`
const SHA512 = 'vs5qUiK6kFCzLCxZ2buWONcB6jdF3VWdYp6kH1tt56tZ78p51dMAxfWsfk9P62z/jAeqbVg4V6Rb3Ic4aAeOKQ=='

const MANIFEST = 'vk_swiftshader_icd.json'
const FILES = [MANIFEST, 'libvk_swiftshader.so', 'libvulkan.so.1']

/** The archive of the pinned version has 15 MB. */
const MAX_ARCHIVE_BYTES = 64 * 1024 * 1024

const cache = fileURLToPath(new URL('../.cache/swiftshader', import.meta.url))
const folder = join(cache, VERSION)

/** Whether the driver runs here at all. */
export const swiftshaderRuns = process.platform === 'linux' && process.arch === 'x64'

/** What a process must be started with to find this driver and no other; null when it was not fetched. */
export function swiftshaderEnvironment(): Readonly<Record<string, string>> | null {
  if (!FILES.every(name => existsSync(join(folder, name)))) return null
  const manifest = join(folder, MANIFEST)
  return { VK_ICD_FILENAMES: manifest, VK_DRIVER_FILES: manifest, LD_LIBRARY_PATH: folder }
}

/** Fetches the package through npm, checks its digest, and leaves the driver in the cache. */
function fetchSwiftshader(): void {
  mkdirSync(cache, { recursive: true })
  const work = mkdtempSync(join(cache, 'fetch-'))
  try {
    // In a folder of its own: this project's npm settings are none of the package's business.
    const name = execFileSync('npm', ['pack', '--silent', PACKAGE], { cwd: work, encoding: 'utf8' }).trim()
    const found = createHash('sha512')
      .update(readFileSync(join(work, name)))
      .digest('base64')
    if (found !== SHA512) throw new Error(`${PACKAGE}: sha512 is ${found}, expected ${SHA512}`)
    execFileSync('tar', ['-xzf', name, '--no-same-owner', 'package/bin/swiftshader.tar.br'], { cwd: work })
    const compressed = readFileSync(join(work, 'package/bin/swiftshader.tar.br'))
    const archive = brotliDecompressSync(compressed, { maxOutputLength: MAX_ARCHIVE_BYTES })
    const unpacked = join(work, 'driver')
    mkdirSync(unpacked)
    execFileSync('tar', ['-xf', '-', '--no-same-owner', ...FILES], { cwd: unpacked, input: archive })
    rmSync(folder, { recursive: true, force: true })
    renameSync(unpacked, folder)
  } finally {
    rmSync(work, { recursive: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!swiftshaderRuns) console.log('SwiftShader is fetched on Linux x64 only: the tests of WebGPU will be skipped')
  else if (swiftshaderEnvironment() !== null) console.log(`SwiftShader is in ${folder}`)
  else {
    fetchSwiftshader()
    console.log(`SwiftShader was fetched into ${folder}`)
  }
}
