import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ConfigError, SchemaError } from '../../src/errors.ts'
import type { Codec, Schema } from '../../src/ports.ts'

type Part = { readonly id: string; readonly weight?: number }
type Sample = {
  readonly text: string
  readonly count?: number
  readonly seed?: number
  readonly on: boolean
  readonly kind: 'ONE' | 'TWO'
  readonly parts?: readonly Part[]
  readonly labels?: Readonly<Record<string, string>>
  readonly score: number | null
}

/** Every kind of field that the shipped schemas use. */
export const sample: Schema<Sample> = {
  name: 'Sample',
  avro: {
    type: 'record',
    name: 'Sample',
    namespace: 'test',
    fields: [
      { name: 'text', type: 'string' },
      { name: 'count', type: ['null', 'int'], default: null },
      { name: 'seed', type: ['null', 'long'], default: null },
      { name: 'on', type: 'boolean' },
      { name: 'kind', type: { type: 'enum', name: 'Kind', symbols: ['ONE', 'TWO'] } },
      {
        name: 'parts',
        type: [
          'null',
          {
            type: 'array',
            items: {
              type: 'record',
              name: 'Part',
              fields: [
                { name: 'id', type: 'string' },
                { name: 'weight', type: ['null', 'double'], default: null },
              ],
            },
          },
        ],
        default: null,
      },
      { name: 'labels', type: ['null', { type: 'map', values: 'string' }], default: null },
      { name: 'score', type: ['null', 'double'] },
    ],
  },
}

const plain: Sample = { text: 'x', on: true, kind: 'ONE', score: null }

const text = fc.string({ unit: 'grapheme' })
/** Written as itself: not -0, which equals 0 for `===` alone. */
const double = fc.double({ noNaN: true }).map(value => value + 0)
export const samples = fc.record<Sample>(
  {
    text,
    count: fc.integer(),
    seed: fc.maxSafeInteger(),
    on: fc.boolean(),
    kind: fc.constantFrom('ONE', 'TWO'),
    parts: fc.array(fc.record<Part>({ id: text, weight: double }, { requiredKeys: ['id'], noNullPrototype: true }), {
      maxLength: 4,
    }),
    labels: fc.dictionary(
      text.filter(key => key !== '__proto__'),
      text,
      { noNullPrototype: true },
    ),
    score: fc.option(double),
  },
  { requiredKeys: ['text', 'on', 'kind', 'score'], noNullPrototype: true },
)

/** What every codec must do. */
export function codecContract(name: string, make: () => Codec): void {
  test(`${name}: what is encoded decodes to the same, what is absent stays absent, and null stays null`, async () => {
    const { encode, decode } = bound(make())
    assert.deepEqual(await decode(await encode(plain)), plain)
    await fc.assert(
      fc.asyncProperty(samples, async value => assert.deepEqual(await decode(await encode(value)), value)),
    )
  })

  test(`${name}: a value that does not fit is refused, with topic and field`, async () => {
    const { encode } = bound(make())
    const wrong: readonly (readonly [string, unknown])[] = [
      ['text', { ...plain, text: 7 }],
      ['count', { ...plain, count: 1.5 }],
      ['count', { ...plain, count: 2 ** 31 }],
      ['seed', { ...plain, seed: 2 ** 53 }],
      ['kind', { ...plain, kind: 'THREE' }],
      ['id', { ...plain, parts: [{ id: 'a' }, { id: null }] }],
      ['labels', { ...plain, labels: { a: 1 } }],
      ['score', { text: 'x', on: true, kind: 'ONE' }],
    ]
    for (const [field, value] of wrong) {
      // Misfits on purpose.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      await assert.rejects(encode(value as Sample), (error: unknown) => {
        assert.ok(error instanceof SchemaError, String(error))
        assert.match(error.message, new RegExp(`topic "samples".*${field}`))
        return true
      })
    }
  })

  test(`${name}: whatever bytes come, decoding ends soon, with a value or a SchemaError that names the topic`, async () => {
    const { encode, decode } = bound(make())
    const mutated = fc.tuple(samples, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat())
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async bytes => tolerates(bytes)),
      { numRuns: 500 },
    )
    await fc.assert(
      fc.asyncProperty(mutated, async ([value, changes, cut]) => {
        const bytes = Uint8Array.from(await encode(value))
        for (const [place, byte] of changes) bytes[place % bytes.length] = byte
        await tolerates(cut % 3 === 0 ? bytes.subarray(0, cut % bytes.length) : bytes)
      }),
      { numRuns: 500 },
    )

    async function tolerates(bytes: Uint8Array): Promise<void> {
      try {
        await decode(bytes)
      } catch (error) {
        assert.ok(error instanceof SchemaError, String(error))
        assert.match(error.message, /^topic "samples"/)
      }
    }
  })

  test(`${name}: a schema that is none is refused`, () => {
    assert.throws(() => make()('samples', { name: 'Broken', avro: { type: 'wrong' } }), ConfigError)
  })
}

function bound(codec: Codec): {
  encode(this: void, value: Sample): Promise<Uint8Array>
  decode(this: void, bytes: Uint8Array): Promise<Sample>
} {
  const serde = codec('samples', sample)
  return { encode: value => serde.encode(value), decode: bytes => serde.decode(bytes) }
}
