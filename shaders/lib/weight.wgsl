// The weight that a kernel reads: one shard of a matrix in some format.
//
//   weight  [rows, 8 * chunks]
//
// `rows` and `chunks` are the shard's: its rows, and the chunks of 8 weights of a
// row once the row is padded to whole blocks. `first_row` is the row of the matrix,
// of `total_rows`, at which the shard starts. The format that a kernel is linked
// with holds the weights themselves, from binding 1 on, and defines `weight8`, whose
// rows count from the start of the shard.

struct Weight {
    rows: u32,
    chunks: u32,
    first_row: u32,
    total_rows: u32,
}

@group(1) @binding(0) var<uniform> weight: Weight;
