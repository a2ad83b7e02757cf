// A model of V3's shape whose weights are noise: as large as wanted, and of no other use.

import { closeSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";

import { WEB } from "./browser.mjs";
import { demoFiles, generator, safetensorsHeader, WEIGHTS } from "./models.mjs";

const MIB = 1024 * 1024;
const GOLDEN = join(WEB, "../../tests/golden/v3-48m/config.json");

/** The tensors of a DeepSeek-V3 model of these sizes. */
function shapesOf(config) {
  const { hidden_size: hidden, num_attention_heads: heads, vocab_size: vocabulary } = config;
  const { q_lora_rank: queries, kv_lora_rank: latent, qk_nope_head_dim: nope, qk_rope_head_dim: rope, v_head_dim: value } = config;
  const shapes = { "model.embed_tokens.weight": [vocabulary, hidden], "model.norm.weight": [hidden], "lm_head.weight": [vocabulary, hidden] };
  const gated = (name, width) => {
    shapes[`${name}.gate_proj.weight`] = [width, hidden];
    shapes[`${name}.up_proj.weight`] = [width, hidden];
    shapes[`${name}.down_proj.weight`] = [hidden, width];
  };
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const name = `model.layers.${layer}`;
    shapes[`${name}.input_layernorm.weight`] = [hidden];
    shapes[`${name}.post_attention_layernorm.weight`] = [hidden];
    const attention = `${name}.self_attn`;
    shapes[`${attention}.q_a_proj.weight`] = [queries, hidden];
    shapes[`${attention}.q_a_layernorm.weight`] = [queries];
    shapes[`${attention}.q_b_proj.weight`] = [heads * (nope + rope), queries];
    shapes[`${attention}.kv_a_proj_with_mqa.weight`] = [latent + rope, hidden];
    shapes[`${attention}.kv_a_layernorm.weight`] = [latent];
    shapes[`${attention}.kv_b_proj.weight`] = [heads * (nope + value), latent];
    shapes[`${attention}.o_proj.weight`] = [hidden, heads * value];
    if (layer < config.first_k_dense_replace) {
      gated(`${name}.mlp`, config.intermediate_size);
      continue;
    }
    shapes[`${name}.mlp.gate.weight`] = [config.n_routed_experts, hidden];
    shapes[`${name}.mlp.gate.e_score_correction_bias`] = [config.n_routed_experts];
    for (let expert = 0; expert < config.n_routed_experts; expert++) {
      gated(`${name}.mlp.experts.${expert}`, config.moe_intermediate_size);
    }
    gated(`${name}.mlp.shared_experts`, config.n_shared_experts * config.moe_intermediate_size);
  }
  return shapes;
}

/** Small random numbers in bf16, always the same ones. */
function noise(values) {
  const random = generator(11);
  // A sign, an exponent for about 0.01 to 0.03, and any fraction.
  return Uint16Array.from({ length: values }, () => (random(2) << 15) | ((120 + random(2)) << 7) | random(128));
}

/** Writes a model of noise, of more than 100 MB, into a folder; the bytes of its weights. */
export function writeNoiseModel(folder) {
  const { "tokenizer.json": tokenizer, "tokenizer_config.json": tokenizerConfig } = demoFiles();
  const config = { ...JSON.parse(readFileSync(GOLDEN, "utf8")), vocab_size: 20480 };
  const shapes = shapesOf(config);
  const header = {};
  let end = 0;
  for (const [name, shape] of Object.entries(shapes)) {
    const start = end;
    end += 2 * shape.reduce((product, length) => product * length, 1);
    header[name] = { dtype: "BF16", shape, data_offsets: [start, end] };
  }
  const file = openSync(join(folder, WEIGHTS), "w");
  writeSync(file, safetensorsHeader(header));
  const block = noise(2 * MIB);
  const gains = new Uint16Array(MIB).fill(0x3f80);
  for (const [name, { data_offsets }] of Object.entries(header)) {
    const source = name.endsWith("norm.weight") ? gains : block;
    for (let [at, end] = data_offsets; at < end; at += source.byteLength) {
      writeSync(file, source, 0, Math.min(source.byteLength, end - at));
    }
  }
  closeSync(file);
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  writeFileSync(join(folder, "tokenizer.json"), tokenizer);
  writeFileSync(join(folder, "tokenizer_config.json"), tokenizerConfig);
  return statSync(join(folder, WEIGHTS)).size;
}
