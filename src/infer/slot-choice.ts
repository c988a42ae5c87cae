import type { TensorData } from '../onnx/session.ts'
import type { Feeds, PreparedRow } from './feeds.ts'
import type { Phase } from './generation-inputs.ts'
import { SLOT_GROUP, STEP_GROUP, type Kind } from './lora-slots.ts'
import { EMPTY_SLOT } from './resident-loras.ts'

/**
 * The slots that each row of a run uses, by kind: `KIND.PHASE.slots` and `KIND.PHASE.weight`, as lora-slots.ts
 * describes them. Rows with fewer slots are filled up with the empty one. A row's own stand first and in the order of its mix, so
 * that its sum is the same to the last bit among any neighbours.
 */
export function choiceFeeds(mixes: readonly PreparedRow['mix'][], kinds: readonly Kind[], phase: Phase): Feeds {
  const feeds: Record<string, TensorData> = {}
  for (const kind of kinds) {
    const rows = mixes.map(mix =>
      mix.flatMap(({ slots, weight }) => (slots.get(kind) ?? []).map(slot => ({ slot, weight }))),
    )
    const widest = Math.max(...rows.map(({ length }) => length))
    // A product over no groups at all would be no product: the prompt pass has one at least.
    const width =
      phase === 'prompt'
        ? SLOT_GROUP * Math.max(1, Math.ceil(widest / SLOT_GROUP))
        : STEP_GROUP * Math.ceil(widest / STEP_GROUP)
    const slots = new BigInt64Array(rows.length * width).fill(BigInt(EMPTY_SLOT))
    const weights = new Float32Array(rows.length * width)
    rows.forEach((uses, row) =>
      uses.forEach(({ slot, weight }, place) => {
        slots[row * width + place] = BigInt(slot)
        weights[row * width + place] = weight
      }),
    )
    const dims = phase === 'prompt' ? [rows.length, width / SLOT_GROUP, SLOT_GROUP] : [rows.length, width]
    feeds[`${kind}.${phase}.slots`] = { type: 'int64', data: slots, dims }
    feeds[`${kind}.${phase}.weight`] = { type: 'float32', data: weights, dims: [rows.length, 1, width] }
  }
  return feeds
}
