// cache[slot] = (c / rms(c) * gain, rope(p)): what latent attention keeps of a token (DeepSeek-V2, arXiv 2405.04434).
//
//   kv         [tokens, kv_stride]
//   gain       [latent]
//   rotations  [tokens, pairs, 2]
//   slots      [tokens]
//   cache      [slots, words]
//
// One workgroup per token. c are the `latent` columns of kv from `kv_offset` on, p the
// 2 * pairs columns behind them. In the cache p starts at `rope_start`, and whatever
// neither fills is zero.

struct Params {
    kv_stride: u32,
    kv_offset: u32,
    latent: u32,
    pairs: u32,
    rope_start: u32,
    cache_chunks: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> kv: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read> rotations: array<vec2f>;
@group(0) @binding(4) var<storage, read> slots: array<u32>;
@group(0) @binding(5) var<storage, read_write> cache: array<CacheWord>;

override WORKGROUP_SIZE: u32 = 64;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    store_latent_row(workgroup.x, lane);
}
