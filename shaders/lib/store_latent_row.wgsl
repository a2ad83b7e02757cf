// What latent attention keeps of a token.
//
// Needs kv: array<f32>, gain, rotations, slots, `cache` for writing, WORKGROUP_SIZE, and of `params` kv_stride,
// kv_offset, latent, pairs, rope_start, cache_chunks and epsilon.

// A column of the cache's row: the normalised latent, the rotated key, or padding.
fn store_latent_value(token: u32, column: u32, scale: f32) -> f32 {
    let start = token * params.kv_stride + params.kv_offset;
    if column < params.latent {
        return kv[start + column] * scale * gain[column];
    }
    if column < params.rope_start || column >= params.rope_start + 2 * params.pairs {
        return 0.0;
    }
    let turning = column - params.rope_start;
    let rotation = rotations[token * params.pairs + turning / 2];
    let pair = start + params.latent + turning / 2 * 2;
    let u = kv[pair];
    let v = kv[pair + 1];
    return select(u * rotation.x - v * rotation.y, v * rotation.x + u * rotation.y, turning % 2 == 1);
}

// Stores a token's row. All lanes of a workgroup take part.
fn store_latent_row(token: u32, lane: u32) {
    let start = token * params.kv_stride + params.kv_offset;
    var own = 0.0;
    for (var i = lane; i < params.latent; i += WORKGROUP_SIZE) {
        own += kv[start + i] * kv[start + i];
    }
    let squares = workgroup_sum(own, lane);
    let scale = inverseSqrt(squares / f32(params.latent) + params.epsilon);
    for (var block = lane; 4 * block < params.cache_chunks; block += WORKGROUP_SIZE) {
        var values: array<mat2x4f, 4>;
        for (var i = 0u; i < 32; i++) {
            values[i / 8][i / 4 % 2][i % 4] = store_latent_value(token, 32 * block + i, scale);
        }
        store_row_block(slots[token], params.cache_chunks, block, values);
    }
}
