import { isObject } from './json.ts'

/** Blocks of ideographs, each of which is a word of its own (`bert.rs`: `is_chinese_char`). */
const IDEOGRAPH =
  /[\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{20000}-\u{2A6DF}\u{2A700}-\u{2B81F}\u{2B920}-\u{2CEAF}\u{F900}-\u{FAFF}\u{2F800}-\u{2FA1F}]/gu

/** Not a tab or a line's end, which are white space. */
const CONTROL = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\p{Cs}\uFFFD]/gu

/**
 * What a `normalizer` of type BertNormalizer does to a text, as the reference implementation does it; undefined for any
 * other. The library's own knows ideographs of 16 bits only, and writes the sigma at the end of a word in another way,
 * since it takes words to lower case, not characters.
 */
export function bertNormalizer(normalizer: unknown): ((text: string) => string) | undefined {
  if (!isObject(normalizer) || normalizer['type'] !== 'BertNormalizer') return undefined
  const { clean_text: clean, handle_chinese_chars: ideographs, lowercase, strip_accents: accents } = normalizer
  // In Python's and Rust's way: what is not said follows the case.
  const strip = accents == null ? lowercase === true : accents === true
  return text => {
    let normal = text
    if (clean === true) normal = normal.replace(CONTROL, '').replace(/\s/g, ' ')
    if (ideographs === true) normal = normal.replace(IDEOGRAPH, ' $& ')
    if (strip) normal = normal.normalize('NFD').replace(/\p{Mn}/gu, '')
    if (lowercase === true) normal = normal.replace(/\p{Changes_When_Lowercased}/gu, letter => letter.toLowerCase())
    return normal
  }
}
