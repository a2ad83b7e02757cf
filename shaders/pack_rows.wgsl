// cache[slot] = x, packed into the cache's type.
//
//   x      [tokens, width]
//   slots  [tokens]
//   cache  [slots, words]
//
// One lane per 32 columns; those behind the last are zeros. `width` is counted in vec4s.
// The type that the kernel is linked with says how many words are a row, and what they are.

struct Params {
    width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read_write> cache: array<CacheWord>;

override WORKGROUP_SIZE: u32 = 64;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = workgroup.y;
    let block = workgroup.x * WORKGROUP_SIZE + lane;
    var values: array<vec4f, 8>;
    for (var i = 0u; i < 8; i++) {
        let column = 8 * block + i;
        if column < params.width {
            values[i] = x[token * params.width + column];
        }
    }
    var packed = cache_packed(values);
    let row_words = cache_words(params.width);
    let start = block * CACHE_BLOCK_WORDS;
    for (var i = 0u; i < CACHE_BLOCK_WORDS && start + i < row_words; i++) {
        cache[slots[token] * row_words + start + i] = packed[i];
    }
}
