import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** A source file, and what it imports: paths from the root for files of ours, names for packages. */
export type SourceFile = {
  readonly path: string
  readonly text: string
  readonly imports: readonly string[]
  readonly reexports: readonly string[]
}

/** The TypeScript files below a folder of the repository, none where there is no such folder. */
export function sourceFiles(folder: string): readonly SourceFile[] {
  const names = readdirSync(root, { withFileTypes: true }).some(entry => entry.name === folder)
    ? readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    : []
  return names
    .filter(name => name.endsWith('.ts'))
    .toSorted()
    .map(name => read(join(folder, name)))
}

function read(path: string): SourceFile {
  const text = readFileSync(join(root, path), 'utf8')
  const found = [
    ...text.matchAll(/^(import|export)\s[\w\s{},*$]*?\bfrom\s+'([^']+)'/gm),
    ...text.matchAll(/\b(import)\(\s*'([^']+)'\s*\)/g),
    ...text.matchAll(/^(import)\s+'([^']+)'/gm),
  ].map(([, keyword, specifier = '']) => ({ keyword, target: resolve(path, specifier) }))
  return {
    path,
    text,
    imports: found.map(({ target }) => target),
    reexports: found.filter(({ keyword }) => keyword === 'export').map(({ target }) => target),
  }
}

function resolve(from: string, specifier: string): string {
  return specifier.startsWith('.') ? relative(root, join(root, dirname(from), specifier)) : specifier
}
