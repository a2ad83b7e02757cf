use bytemuck::{Pod, Zeroable};

use crate::gpu::{Dispatch, Pass, Tensor, Weight};
use crate::kernel;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    width: u32,
}

/// Rows of a table, by id; ids must be below the number of rows.
///
/// `ids: [tokens]` of u32, `weight: [vocabulary, width]` → `[tokens, width]`
#[track_caller]
pub fn embedding(pass: &mut Pass, ids: &Tensor, weight: &Weight) -> Tensor {
    let [tokens] = ids.dims();
    let y = pass.tensor(&[tokens, weight.columns]);
    for shard in &weight.shards {
        pass.dispatch(Dispatch {
            kernel: kernel!("embedding"),
            constants: &[],
            params: Params {
                width: weight.columns as u32,
            },
            inputs: &[ids],
            weight: Some(shard),
            outputs: &[&y],
            workgroups: [
                (shard.format.padded(weight.columns) / 8).div_ceil(64),
                tokens,
                1,
            ],
        });
    }
    y
}
