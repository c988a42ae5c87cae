import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { Adapter, AdapterId, Hit, Mix } from '../../src/lora.ts'
import type { Compose } from '../../src/ports.ts'

/** An adapter that is only a name: strategies read nothing else. */
export function adapterNamed(id: string, rank = 8): Adapter {
  return {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the brand is only a promise, and this is where it is made
    id: id as AdapterId,
    digest: `sha256:${'0'.repeat(63)}${rank.toString(16).slice(-1)}`,
    directory: `/adapters/${id}`,
    rank,
  }
}

/** Retrieved hits, best first, with distinct adapters. */
export const retrievedHits: fc.Arbitrary<readonly Hit[]> = fc
  .uniqueArray(fc.tuple(fc.stringMatching(/^[a-z]{1,6}$/), fc.double({ min: -1, max: 1, noNaN: true })), {
    maxLength: 8,
    selector: ([id]) => id,
  })
  .map(pairs =>
    pairs.map(([id, score]) => ({ adapter: adapterNamed(id), score })).toSorted((a, b) => b.score - a.score),
  )

/** The sum of every weight that reaches an adapter. */
const total = (mix: Mix): number =>
  mix.reduce((sum, share) => sum + share.weight * share.lora.reduce((parts, part) => parts + part.weight, 0), 0)

/** What every strategy promises: pure, total, complete in its provenance, weights that sum to 1. */
export function strategyContract(name: string, compose: Compose): void {
  test(`${name}: no hits give the base model alone`, () => {
    assert.deepEqual(compose([]), { strategy: 'BASE', mix: [], used: [] })
  })

  test(`${name}: the weights of retrieved hits sum to 1, or there are none`, () => {
    fc.assert(
      fc.property(retrievedHits, hits => {
        const { mix } = compose(hits)
        assert.ok(mix.length === 0 || Math.abs(total(mix) - 1) < 1e-12, `sum ${total(mix)}`)
      }),
    )
  })

  test(`${name}: provenance names every adapter of the mix with its weight, score, rank and digest`, () => {
    fc.assert(
      fc.property(retrievedHits, hits => {
        const { mix, used } = compose(hits)
        const weights = new Map<string, number>()
        for (const share of mix)
          for (const part of share.lora) {
            weights.set(part.adapter.id, (weights.get(part.adapter.id) ?? 0) + share.weight * part.weight)
          }
        assert.deepEqual(new Map(used.map(entry => [entry.id, entry.weight])), weights)
        for (const entry of used) {
          const hit = hits.find(candidate => candidate.adapter.id === entry.id)
          assert.ok(hit)
          assert.equal(entry.score, hit.score)
          assert.equal(entry.rank, hit.adapter.rank)
          assert.equal(entry.digest, hit.adapter.digest)
        }
      }),
    )
  })

  test(`${name}: the same hits give the same mix and are left as they were`, () => {
    fc.assert(
      fc.property(retrievedHits, hits => {
        const before = structuredClone(hits)
        assert.deepEqual(compose(hits), compose(hits))
        assert.deepEqual(hits, before)
      }),
    )
  })
}
