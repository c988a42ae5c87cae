/** The id of an adapter: its directory's name. Branded, so that a prompt's id cannot be passed for it. */
export type AdapterId = string & { readonly __adapter: unique symbol }

/** `sha256:` and 64 hexadecimal digits. */
export type Digest = `sha256:${string}`

/** A LoRA that the pool has admitted: checked in full, identified by its bytes. */
export type Adapter = {
  readonly id: AdapterId
  /** sha256 over the bytes of `adapter_config.json`, then `adapter_model.safetensors`. */
  readonly digest: Digest
  /** The PEFT directory, absolute. */
  readonly directory: string
  /** The largest rank among its modules. */
  readonly rank: number
}

/** An adapter that retrieval found for a prompt, or that the prompt named. */
export type Hit = {
  readonly adapter: Adapter
  /** Similarity of prompt and adapter, in units of the pool's scorer; `null` when the prompt named the adapter. */
  readonly score: number | null
  /**
   * Probability that this adapter was trained for the prompt's task, calibrated on the pool's samples. What the hits of a
   * whole pool lack to 1 together is the chance that no adapter was. Absent where nothing was calibrated.
   */
  readonly confidence?: number
  /** The weight that the prompt gave it; absent when the strategy decides. */
  readonly weight?: number
}

/** One adapter's part in a LoRA. */
export type Part = { readonly adapter: Adapter; readonly weight: number }

/**
 * A low-rank delta made of one or several adapters: (Σ wⱼ√sⱼ·Bⱼ)(Σ wⱼ√sⱼ·Aⱼ) with s = α/r (rsLoRA: α/√r), ranks
 * zero-padded, a module that an adapter lacks counting as zeros. One part of weight 1 is the adapter as it was trained;
 * several are LoraRetriever's fusion (section 3.3 of the paper).
 */
export type Lora = readonly Part[]

/** Names a LoRA by the bytes of its parts and their weights: equal keys are equal deltas. */
export const loraKey = (lora: Lora): string =>
  lora.map(({ adapter, weight }) => `${adapter.digest}*${weight}`).join('+')

/** A LoRA and the factor of its output: Σ weight·lora(x) is added to a module's output. */
export type Share = { readonly lora: Lora; readonly weight: number }

/** A row's mix; no shares is the base model alone. */
export type Mix = readonly Share[]
