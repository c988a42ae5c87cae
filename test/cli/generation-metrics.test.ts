import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exactMatch, rougeL, scoreOf } from '../../src/cli/evaluate/generation-metrics.ts'

test('exact match: case, white space around and a full stop at the end do not count', () => {
  for (const answer of ['Yes', ' yes.', 'YES\n', 'yes . ']) assert.equal(exactMatch(answer, 'yes'), 100, answer)
  for (const answer of ['yes, it is', 'y es', '', 'yes..']) assert.equal(exactMatch(answer, 'yes'), 0, answer)
})

test('exact match: of a target what follows a blank line does not count, of an answer it does', () => {
  assert.equal(exactMatch('yes', 'Yes.\n\nBecause I say so.'), 100)
  assert.equal(exactMatch('Yes.\n\nBecause I say so.', 'yes'), 0)
})

test('ROUGE-L: twice the common subsequence over the words of both', () => {
  // Common: the cat on mat, 4 of 6 and 4 of 5 words.
  assert.ok(Math.abs(rougeL('The cat sat on the mat', 'the cat lies on mat') - (100 * 2 * 4) / 11) < 1e-9)
  assert.equal(rougeL('same words, same order', 'Same words! Same order?'), 100)
  assert.equal(rougeL('one two', 'three four'), 0)
})

test('ROUGE-L: an answer is one text, however many sentences it has', () => {
  assert.ok(Math.abs(rougeL('b c. a', 'a. b c') - (100 * 2 * 2) / 6) < 1e-9)
})

test('ROUGE-L: a text without words scores nothing, and scripts other than Latin have words', () => {
  for (const [answer, target] of [
    ['', 'target'],
    [' \n', 'target'],
    ['?!', 'target'],
    ['answer', '…'],
  ] as const)
    assert.equal(rougeL(answer, target), 0)
  assert.equal(rougeL('кошка спит', 'Кошка спит.'), 100)
})

test('scores go by the metric of the item', () => {
  assert.equal(scoreOf('em', 'a b', 'a c'), 0)
  assert.equal(scoreOf('rouge-l', 'a b', 'a c'), 50)
})
