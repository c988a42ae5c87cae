import { l as longestCommon } from 'js-rouge'

/** How an answer is compared with its target; `evaluate generation` takes these in its data. */
export const metrics = ['em', 'rouge-l'] as const

export type Metric = (typeof metrics)[number]

/** From 0 to 100. */
export function scoreOf(metric: Metric, answer: string, target: string): number {
  return metric === 'em' ? exactMatch(answer, target) : rougeL(answer, target)
}

/**
 * 100 where both are the same without regard to case, white space around them and a full stop at the end, else 0. Of the
 * target what follows a blank line does not count: the rules of LoraRetriever's own evaluation.
 */
export function exactMatch(answer: string, target: string): number {
  const [expected = ''] = target.trim().split(/\n\s*\n/)
  return normalised(answer) === normalised(expected) ? 100 : 0
}

function normalised(text: string): string {
  return text.trim().toLowerCase().replace(/\.$/, '').trimEnd()
}

/**
 * ROUGE-L, F1 in percent, of the whole text as one sentence. Words are runs of letters and digits, lower-cased and not
 * stemmed, as in rouge-score. A text without words scores 0.
 */
export function rougeL(answer: string, target: string): number {
  if (wordsOf(answer).length === 0 || wordsOf(target).length === 0) return 0
  return 100 * longestCommon(answer, target, { segmenter: text => [text], tokenizer: wordsOf })
}

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{M}\p{N}]+/gu) ?? []
}
