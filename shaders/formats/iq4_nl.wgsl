// Weight format iq4_nl: blocks of 32 numbers of 4 bits for values of a table, that share one
// f16 scale.
//
//   weight_data   [rows, chunks]              eight numbers each, the first lowest
//   weight_scale  [rows * chunks / 4 / 2]     two scales to a word

@group(1) @binding(1) var<storage, read> weight_data: array<u32>;
@group(1) @binding(2) var<storage, read> weight_scale: array<Half2>;

// Weights 8 * chunk .. 8 * chunk + 7 of `row`.
fn weight8(row: u32, chunk: u32) -> mat2x4f {
    let index = row * weight.chunks + chunk;
    let word = weight_data[index];
    let block = index / 4;
    let scale = half2(weight_scale[block / 2])[block % 2];
    return scale * mat2x4f(iq4_levels(bits_4(word)), iq4_levels(bits_4(word >> 16)));
}
