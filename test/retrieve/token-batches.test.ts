import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { batchesOf } from '../../src/retrieve/token-batches.ts'

test('every text is in one batch, none is wider than its longest, and runs are bounded', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 2, max: 700 }), { maxLength: 60 }), lengths => {
      const texts = lengths.map((length, index) => Array.from({ length }, () => index))
      const batches = batchesOf(texts)
      assert.deepEqual(
        batches.flatMap(batch => batch.rows.map(row => row.index)).toSorted((a, b) => a - b),
        texts.map((_, index) => index),
      )
      for (const { width, rows } of batches) {
        assert.equal(width, Math.max(...rows.map(row => row.tokens.length)))
        assert.ok(rows.length === 1 || rows.length * width <= 512)
        for (const { index, tokens } of rows) assert.equal(tokens, texts[index])
      }
    }),
  )
})
